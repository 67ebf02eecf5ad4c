"""The constructed runs of tests/golden and the stand-in for NVML can be imported here."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "golden"))
sys.path.append(str(TESTS / "unit" / "telemetry"))
