"""Opening NVIDIA's management library, and telling its errors apart: not offered here, or broken.

The package is nvidia-ml-py, the module `pynvml`; it needs the library of a GPU driver at run time, and only then.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from harness.telemetry.source import Unavailable

NAME = "nvml"
NO_GPU = "no NVIDIA GPU on this host"

# What a GPU, driver or container does not offer: the value is left out. Anything else is a fault worth telling.
_NOT_OFFERED = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
    "NVML_ERROR_DEPRECATED",
    "NVML_ERROR_NO_DATA",
    "NVML_ERROR_NOT_READY",
    "NVML_ERROR_VGPU_ECC_NOT_SUPPORTED",
)


def load(nvml: Any = None) -> Any | Unavailable:
    """The initialised module (`nvml`: one to use instead of `pynvml`), or why there is none. `unload` gives it back."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return Unavailable(NAME, "the package nvidia-ml-py is not installed")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Unavailable(NAME, _why_not(nvml, error))
    return nvml


def unload(nvml: Any) -> None:
    """Give back one `load`; NVML counts them."""
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        return  # the driver went away before us


def is_not_offered(nvml: Any, code: int) -> bool:
    """Whether an NVML return code says that this GPU, driver or container does not tell the value."""
    return code in {getattr(nvml, name) for name in _NOT_OFFERED if hasattr(nvml, name)}


def offered(nvml: Any, call: Callable[[], Any]) -> Any | None:
    """The answer of a call, None where it is not offered. Other errors of NVML pass."""
    try:
        return call()
    except nvml.NVMLError as error:
        if is_not_offered(nvml, error.value):
            return None
        raise


def text(told: str | bytes) -> str:
    """Text as NVML tells it: older bindings return bytes."""
    return told.decode() if isinstance(told, bytes) else told


def _why_not(nvml: Any, error: Any) -> str:
    if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return f"{NO_GPU}: NVML library not found"
    if error.value == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return f"{NO_GPU}: the NVIDIA driver is not loaded"
    return f"NVML cannot be used: {error}"
