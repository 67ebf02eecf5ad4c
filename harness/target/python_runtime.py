"""The Python that the server environment is made from, and its shared library, which Triton's Python backend loads.

Triton's stub is linked against `libpython3.X.so.1.0`. Many interpreters are built without it (Debian's own, a default
pyenv build), so it is looked for in several places, and a Python that has it is preferred to one that has not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

VERSIONS = ("3.11", "3.12")  # with numpy < 2 and a stub in the Triton wheel
LIMIT_S = 20

# Asked of an interpreter in a process of its own: another Python may be the better one.
QUESTION = """
import json, sys, sysconfig
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "prefix": sys.base_prefix,
                  "libdir": sysconfig.get_config_var("LIBDIR"), "name": sysconfig.get_config_var("INSTSONAME")}))
"""


@dataclass(frozen=True)
class Runtime:
    """A Python that can make the server environment."""

    executable: str
    version: str  # "3.11"
    prefix: str
    libpython: Path | None  # None: not found anywhere


def find_runtime() -> Runtime:
    """The running Python when it is supported and has its shared library, else the first on PATH that does.

    Raises UsageError when no supported Python has its library.
    """
    seen = [runtime for executable in _interpreters() if (runtime := inspect(executable)) is not None]
    for runtime in seen:
        if runtime.libpython is not None:
            return runtime
    if not seen:
        raise UsageError(
            f"the server environment needs Python {' or '.join(VERSIONS)}; this one is "
            f"{sys.version_info.major}.{sys.version_info.minor} and none is on PATH",
            hint="on Debian and Ubuntu: apt-get install python3.11 python3.11-venv libpython3.11",
        )
    asked = ", ".join(runtime.executable for runtime in seen)
    raise UsageError(
        f"Triton's Python backend needs libpython{seen[0].version}.so.1.0, which was not found "
        f"(looked beside {asked}, in the linker's cache and in the usual folders)",
        hint=install_hint(seen[0].version),
    )


def install_hint(version: str) -> str:
    """The command that brings the shared library of this Python version."""
    return (
        f"Debian, Ubuntu: apt-get install libpython{version}; Fedora, RHEL: dnf install python{version}-libs; "
        f"pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {version}"
    )


def inspect(executable: str) -> Runtime | None:
    """What an interpreter says about itself; None when it does not run or is not supported."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-S", "-c", QUESTION], capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
        said = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if said["version"] not in VERSIONS:
        return None
    return Runtime(executable, said["version"], said["prefix"], find_libpython(said["version"], search_folders(said)))


def find_libpython(version: str, folders: Iterable[Path]) -> Path | None:
    """The first `libpython3.X.so.1.0` in these folders."""
    name = f"libpython{version}.so.1.0"
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def search_folders(said: dict[str, str | None]) -> list[Path]:
    """Where to look, the interpreter's own folders first: a library of the same build matches its standard library."""
    own = [Path(folder) for folder in (said["libdir"], f"{said['prefix']}/lib", f"{said['prefix']}/lib64") if folder]
    usual = [Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"), Path("/usr/local/lib64")]
    multiarch = sorted(Path("/usr/lib").glob("*-linux-gnu"))
    return [*own, *_linker_folders(f"libpython{said['version']}.so.1.0"), *multiarch, *usual]


def parse_linker_cache(listing: str, name: str) -> list[Path]:
    """The folders in which `ldconfig -p` lists this library."""
    found = (line.partition("=>") for line in listing.splitlines() if line.strip().startswith(f"{name} "))
    return [Path(path.strip()).parent for _, arrow, path in found if arrow]


def _linker_folders(name: str) -> list[Path]:
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if ldconfig is None:
        return []
    try:
        answer = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_linker_cache(answer.stdout, name)


def _interpreters() -> list[str]:
    """The running interpreter, then those on PATH, each once."""
    on_path = (shutil.which(f"python{version}") for version in VERSIONS)
    return list(dict.fromkeys(path for path in (sys.executable, *on_path) if path))
