"""What this host is, for the manifest: the identity fields by which two runs are compared later."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("locust", "gevent", "numpy", "pyarrow", "tritonclient", "tokenizers", "nvidia-ml-py")
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def describe() -> dict[str, Any]:
    """Identity of the load host. No host name: a run folder may be mailed to somebody."""
    return {
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpu_affinity": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "system": platform.system(),
        "machine": platform.machine(),
        "c_library": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "clock_source": CLOCK_SOURCE.read_text().strip() if CLOCK_SOURCE.exists() else "unknown",
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
