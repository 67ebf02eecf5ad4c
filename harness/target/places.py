"""Where the tool keeps what it makes for itself, outside run folders: the cache and the state of started engines."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

APPLICATION = "triton-llm-harness"


def cache_folder() -> Path:
    """Server environments, built models, logs: all can be made again. `HARNESS_CACHE` moves it."""
    return Path(os.environ.get("HARNESS_CACHE") or platformdirs.user_cache_dir(APPLICATION)).absolute()


def state_folder() -> Path:
    """What must survive between two commands: which engines run. `HARNESS_STATE` moves it."""
    return Path(os.environ.get("HARNESS_STATE") or platformdirs.user_state_dir(APPLICATION)).absolute()
