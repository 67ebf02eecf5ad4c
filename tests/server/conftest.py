"""The modules of engines/server live in the server's own environment; the pure ones also run in the harness's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "engines" / "server"))
