"""The checks of `harness doctor`: each looks at one thing of this machine and says what it found; changes nothing."""

from __future__ import annotations

import enum
import importlib.util
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pynvml

import harness
from harness.errors import HarnessError
from harness.target import server_environment
from harness.target.places import cache_folder
from harness.target.python_runtime import VERSIONS, find_runtime
from harness.units import show_bytes

FILES_WANTED = 4096  # a connection is a file; 1,000 requests in flight, twice, and room
GLIBC_NEEDED = (2, 35)  # the nvidia-pytriton wheel is manylinux_2_35
DISK_WANTED_BYTES = 2 * 1024**3
CLOCKSOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")


class State(enum.Enum):
    """What a check found."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One thing of this machine."""

    name: str
    state: State
    said: str
    mend: str | None = None
    needed: bool = False  # the demo does not work without it


def all_checks() -> list[Check]:
    """Every check, in the order of reading."""
    checks: tuple[Callable[[], Check], ...] = (
        python,
        harness_version,
        c_library,
        libpython,
        server_packages,
        disk,
        processors,
        open_files,
        clock_source,
        gpu,
        torch_packages,
        perf_analyzer,
        trtllm_bench,
        tensorrt_llm,
        proven_on_tensorrt_llm,
    )
    return [check() for check in checks]


def python() -> Check:
    """The harness's own interpreter."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version in VERSIONS:
        return Check("Python", State.OK, f"{platform.python_version()} ({sys.executable})", needed=True)
    return Check(
        "Python",
        State.MISSING,
        f"{platform.python_version()}; the harness needs {' or '.join(VERSIONS)}",
        "python3.11 -m venv .venv && .venv/bin/pip install triton-llm-harness",
        needed=True,
    )


def harness_version() -> Check:
    """The version of this program."""
    return Check("harness", State.OK, harness.__version__)


def c_library() -> Check:
    """The C library, as the Triton wheel needs it."""
    name, version = platform.libc_ver()
    needed = ".".join(map(str, GLIBC_NEEDED))
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if name == "glibc" and parts >= GLIBC_NEEDED:
        return Check("C library", State.OK, f"glibc {version} (the Triton wheel needs {needed})", needed=True)
    found = f"{name} {version}".strip() or "not glibc"
    return Check(
        "C library",
        State.MISSING,
        f"{found}; the Triton wheel needs glibc {needed}: Debian 12, Ubuntu 22.04, RHEL 10 or newer",
        "use a newer system, or measure a server elsewhere with target: {attach: …}",
        needed=True,
    )


def libpython() -> Check:
    """The shared library that Triton's Python backend loads."""
    try:
        runtime = find_runtime()
    except HarnessError as error:
        return Check("libpython for Triton", State.MISSING, error.message, error.hint, needed=True)
    return Check("libpython for Triton", State.OK, str(runtime.libpython), needed=True)


def server_packages() -> Check:
    """The server's environment in the cache. Its absence is no fault: the first start makes it."""
    name, mend = "server environment", "harness doctor --prepare (or the first: harness engine up cpu-tiny)"
    try:
        environment = server_environment.find()
    except HarnessError as error:
        return Check(name, State.MISSING, error.message, mend)
    if environment is None:
        return Check(name, State.WARN, f"not made yet (about 500 MB, in {cache_folder()})", mend)
    size = show_bytes(server_environment.recorded_bytes(environment))
    return Check(name, State.OK, f"{size} in {environment.root}")


def torch_packages() -> Check:
    """The server's environment with PyTorch, for torch engines. Made by the first start of one."""
    name = "torch environment"
    try:
        environment = server_environment.find(server_environment.TORCH)
    except HarnessError as error:
        return Check(name, State.WARN, error.message)
    if environment is None:
        size = server_environment.SIZES[server_environment.TORCH]
        return Check(name, State.WARN, f"not made; only torch engines need it ({size})", "harness engine up torch-tiny")
    size = show_bytes(server_environment.recorded_bytes(environment))
    return Check(name, State.OK, f"{size}; the torch engine has run on CPUs only, on no GPU yet")


def disk() -> Check:
    """Room for the server environment and for runs."""
    folder = next(path for path in (cache_folder(), *cache_folder().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free >= DISK_WANTED_BYTES:
        return Check("disk", State.OK, f"{show_bytes(free)} free at {folder}")
    return Check(
        "disk",
        State.WARN,
        f"only {show_bytes(free)} free at {folder}; {show_bytes(DISK_WANTED_BYTES)} are comfortable",
        "free some, or export HARNESS_CACHE=/a/larger/place",
    )


def processors() -> Check:
    """Processors this process may use: the load generator and the server share them in the demo."""
    count = len(os.sched_getaffinity(0))
    if count >= 2:
        return Check("processors", State.OK, str(count))
    return Check("processors", State.WARN, "1: load generator and server disturb each other", "use at least 2")


def open_files() -> Check:
    """The limit of open files, which bounds connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES_WANTED:
        return Check("open-file limit", State.OK, str(soft))
    mend = f"ulimit -n {FILES_WANTED}"
    if hard != resource.RLIM_INFINITY and hard < FILES_WANTED:
        mend = f"raise the hard limit ({hard}) in /etc/security/limits.conf, then {mend}"
    return Check("open-file limit", State.WARN, f"{soft}; above {soft // 2} requests in flight it may not do", mend)


def clock_source() -> Check:
    """The kernel's clock source: a slow one makes every time stamp a system call."""
    try:
        current = CLOCKSOURCE.read_text().strip()
    except OSError:
        return Check("clock source", State.WARN, "unknown: the kernel does not show it", None)
    if current in FAST_CLOCKS:
        return Check("clock source", State.OK, current)
    return Check(
        "clock source",
        State.WARN,
        f"{current}: reading the clock is slow",
        f"as root, if the machine has it: echo tsc > {CLOCKSOURCE}",
    )


def gpu() -> Check:
    """NVIDIA GPUs and their driver, through NVML."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        said = f"no NVIDIA GPU or driver on this host ({error}); the cpu engines need none"
        return Check("GPU", State.WARN, said)
    try:
        names = [_text(pynvml.nvmlDeviceGetName(_gpu(index))) for index in range(pynvml.nvmlDeviceGetCount())]
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        return Check("GPU", State.WARN, f"NVML answers with an error: {error}", "nvidia-smi")
    finally:
        pynvml.nvmlShutdown()
    return Check("GPU", State.OK, f"{len(names)} ({', '.join(dict.fromkeys(names))}), driver {driver}")


def perf_analyzer() -> Check:
    """Triton's own load generator, for cross-checks."""
    return _program("perf_analyzer", "only needed to cross-check results", "pip install tritonclient==2.51.0")


def trtllm_bench() -> Check:
    """TensorRT-LLM's engine benchmark."""
    return _program("trtllm-bench", "only needed to import engine-level results", _TRTLLM)


def tensorrt_llm() -> Check:
    """TensorRT-LLM itself, looked for without importing it."""
    if importlib.util.find_spec("tensorrt_llm") is not None:
        return Check("TensorRT-LLM", State.OK, "installed in this environment")
    return Check("TensorRT-LLM", State.WARN, "not installed; only needed to build and run its engines", _TRTLLM)


def proven_on_tensorrt_llm() -> Check:
    """What of this program has run on a real TensorRT-LLM server."""
    return Check(
        "real TensorRT-LLM",
        State.WARN,
        "nothing has run on it yet: the contract was built from its sources, tested on the cpu engines",
    )


_TRTLLM = "use the container that NVIDIA ships for Triton with TensorRT-LLM (tag …-trtllm-python-py3)"


def _program(name: str, why: str, mend: str) -> Check:
    path = shutil.which(name)
    if path is not None:
        return Check(name, State.OK, path)
    return Check(name, State.WARN, f"not on PATH; {why}", mend)


def _gpu(index: int) -> object:
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
