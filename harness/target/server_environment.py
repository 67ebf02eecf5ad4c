"""The server's own Python environment: Triton's binary and the engine's libraries, made once and cached.

It is separate because Triton's Python backend needs numpy < 2 and the harness has numpy 2: the two never share a
PYTHONPATH. The folder's name is a hash of the requirement files and of the Python that made it, so a changed
requirement makes a new environment. It is built in a sibling folder and renamed, so a folder with its mark is complete.
(A renamed venv keeps working through `bin/python`; its other scripts are never used.)

There are two: with OpenVINO GenAI for CPU engines, and with PyTorch for torch engines, made only when one is asked for.
"""

from __future__ import annotations

import collections
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.resources import shipped
from harness.target.file_lock import exclusive
from harness.target.places import cache_folder
from harness.target.python_runtime import Runtime, find_runtime
from harness.units import show_bytes, show_duration

Progress = Callable[[str], None]

OPENVINO, TORCH = "openvino", "torch"
REQUIREMENTS = {OPENVINO: "requirements.txt", TORCH: "requirements-torch.txt"}
SIZES = {OPENVINO: "about 500 MB", TORCH: "about 700 MB with a CPU build of PyTorch, several GB with CUDA"}
MARK = "complete"
INSTALL_LIMIT_S = 1800.0
LINES_KEPT = 12


@dataclass(frozen=True)
class ServerEnvironment:
    """A complete environment."""

    root: Path
    runtime: Runtime

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return self.root / "lib" / f"python{self.runtime.version}" / "site-packages"


def requirement_files(library: str = OPENVINO) -> tuple[Path, Path]:
    """(pinned requirements, the Triton wheel, which is installed without its dependencies)."""
    return shipped("engines", "server", REQUIREMENTS[library]), shipped("engines", "server", "triton.txt")


def environment_key(requirements: Iterable[bytes], runtime: Runtime, library: str = OPENVINO) -> str:
    """The folder name of the environment for these requirement files and this Python."""
    digest = hashlib.sha256(f"{runtime.version}\0{runtime.prefix}\0".encode())
    for content in requirements:
        digest.update(hashlib.sha256(content).digest())
    kind = "" if library == OPENVINO else f"{library}-"
    return f"server-{kind}py{runtime.version}-{digest.hexdigest()[:12]}"


def find(library: str = OPENVINO) -> ServerEnvironment | None:
    """The environment when it is there already, for the Python that `prepare` would choose."""
    runtime = find_runtime()
    root = _root(runtime, library)
    return ServerEnvironment(root, runtime) if (root / MARK).is_file() else None


def prepare(progress: Progress, library: str = OPENVINO) -> ServerEnvironment:
    """The environment, made when it is not there yet (see SIZES). Raises UsageError when it cannot be made."""
    runtime = find_runtime()
    root = _root(runtime, library)
    if not (root / MARK).is_file():
        with exclusive(root.with_name(f"{root.name}.lock"), limit_s=INSTALL_LIMIT_S, waiting=progress):
            if not (root / MARK).is_file():
                _make(root, runtime, library, progress)
    return ServerEnvironment(root, runtime)


def child_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that would make one Python use another one's packages."""
    foreign = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "PYTHONSAFEPATH"}
    return {name: value for name, value in variables.items() if name not in foreign}


def folder_bytes(folder: Path) -> int:
    """The size of all regular files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def recorded_bytes(environment: ServerEnvironment) -> int:
    """The size of the environment when it was made."""
    return int((environment.root / MARK).read_text())


def _root(runtime: Runtime, library: str) -> Path:
    contents = (file.read_bytes() for file in requirement_files(library))
    return cache_folder() / environment_key(contents, runtime, library)


def _make(root: Path, runtime: Runtime, library: str, progress: Progress) -> None:
    """Build beside `root`, mark, rename. Leaves nothing when it fails. The caller holds the lock."""
    began = time.monotonic()
    for leftover in root.parent.glob(f"{root.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{root.name}.partial-", dir=root.parent))
    progress(f"making the server environment once, {SIZES[library]}, in {root}")
    try:
        _install(partial, runtime, library, progress)
        size = folder_bytes(partial)
        (partial / MARK).write_text(f"{size}\n")
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    progress(f"server environment ready: {show_bytes(size)} in {show_duration(time.monotonic() - began)}")


def _install(folder: Path, runtime: Runtime, library: str, progress: Progress) -> None:
    requirements, triton = requirement_files(library)
    _checked([runtime.executable, "-m", "venv", str(folder)], progress, _VENV_HINT.format(version=runtime.version))
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    pip += ["--progress-bar", "off", "--no-warn-script-location"]
    _checked([*pip, "-r", str(requirements)], progress, _PIP_HINT)
    _checked([*pip, "--no-deps", "-r", str(triton)], progress, _PIP_HINT)


_VENV_HINT = "on Debian and Ubuntu: apt-get install python{version}-venv"
_PIP_HINT = "check the network and the package index (pip config list), then run the command again"


def _checked(command: list[str], progress: Progress, hint: str) -> None:
    """Run one step and tell what pip does. Raises UsageError with the end of the output when it fails."""
    kept: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)
    process = subprocess.Popen(
        command,
        env=child_variables(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        for line in _lines(process):
            kept.append(line)
            if line.startswith(("Downloading", "Installing")):
                progress(f"  {line.partition(' (from ')[0][:110]}")
        return_code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if return_code != 0:
        said = "\n  ".join(kept) or "(no output)"
        step = " ".join(command[1:4])
        raise UsageError(f"the server environment cannot be made: {step} failed:\n  {said}", hint=hint)


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            if line.strip():
                yield line.strip()
