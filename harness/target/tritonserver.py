"""How to launch the `tritonserver` of the nvidia-pytriton wheel: its files, its command line, its variables.

Measured launch and traps: the wheel finds its bundled libraries by itself (RPATH); the Python backend's stub does not
ship in a backend folder, so one is put together from links; `PATH` decides which environment the models' Python uses;
the stub's `sys.path` holds the working folder, so that must hold no Python file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.target.ports import LOOPBACK, Ports
from harness.target.python_runtime import install_hint
from harness.target.server_environment import ServerEnvironment, child_variables

EXIT_TIMEOUT_S = (
    5  # Triton waits this long for requests in flight when it is told to stop; its default of 30 is too long
)
BACKEND_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")


@dataclass(frozen=True)
class ServerFolder:
    """The private folder of one running server."""

    root: Path

    @property
    def repository(self) -> Path:
        """The model repository."""
        return self.root / "repository"

    @property
    def backends(self) -> Path:
        """The backend folder, links into the environment."""
        return self.root / "backends"

    @property
    def libraries(self) -> Path:
        """A folder with libpython alone: its own folder may hold libraries that would shadow the system's."""
        return self.root / "lib"

    @property
    def working(self) -> Path:
        """The empty working folder."""
        return self.root / "work"

    @property
    def socket(self) -> Path:
        """The engine process's Unix socket."""
        return self.root / "engine.sock"


def binary(environment: ServerEnvironment) -> Path:
    """The tritonserver program. Raises UsageError when the environment lacks it."""
    path = _wheel(environment) / "bin" / "tritonserver"
    if not path.is_file():
        raise UsageError(
            f"the server environment has no tritonserver at {path}",
            hint=f"make it again: rm -r {environment.root}, then the same command",
        )
    return path


def lay_out(folder: ServerFolder, environment: ServerEnvironment, repository: Mapping[str, bytes]) -> None:
    """Write the model repository and the links that Triton needs into a fresh folder."""
    for path, content in repository.items():
        file = folder.repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    python = folder.backends / "python"
    for new in (python, folder.libraries, folder.working):
        new.mkdir(parents=True)
    for target in backend_files(environment):
        (python / target.name).symlink_to(target)
    library = _libpython(environment)
    (folder.libraries / library.name).symlink_to(library)


def backend_files(environment: ServerEnvironment) -> list[Path]:
    """The files of the Python backend. Raises UsageError when the wheel has no stub for this Python."""
    wheel, version = _wheel(environment), environment.runtime.version
    files = [wheel / "backends" / "python" / name for name in BACKEND_FILES]
    files.append(wheel / "python_backend_stubs" / version / "triton_python_backend_stub")
    for file in files:
        if not file.is_file():
            raise UsageError(f"the Triton wheel has no {file.relative_to(wheel)}")
    return files


def command(environment: ServerEnvironment, folder: ServerFolder, ports: Ports) -> list[str]:
    """The command line; every listener on the loopback interface."""
    options = {
        "model-repository": folder.repository,
        "backend-directory": folder.backends,
        "cache-directory": _wheel(environment) / "caches",
        "http-address": LOOPBACK,
        "grpc-address": LOOPBACK,
        "metrics-address": LOOPBACK,
        "http-port": ports.http,
        "grpc-port": ports.grpc,
        "metrics-port": ports.metrics,
        "exit-timeout-secs": EXIT_TIMEOUT_S,
        "allow-gpu-metrics": "false",  # the engine uses no GPU, and telemetry asks NVML itself
    }
    return [str(binary(environment)), *(f"--{name}={value}" for name, value in options.items())]


def variables(environment: ServerEnvironment, folder: ServerFolder, inherited: Mapping[str, str]) -> dict[str, str]:
    """The process's variables: the environment's Python first on PATH, libpython found, nothing of ours."""
    clean = child_variables(inherited)
    libraries = [str(folder.libraries), clean.get("LD_LIBRARY_PATH", "")]
    return {
        **clean,
        "PATH": f"{environment.root / 'bin'}:{clean.get('PATH', '/usr/bin:/bin')}",
        "LD_LIBRARY_PATH": ":".join(part for part in libraries if part),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _wheel(environment: ServerEnvironment) -> Path:
    return environment.site_packages / "pytriton" / "tritonserver"


def _libpython(environment: ServerEnvironment) -> Path:
    library = environment.runtime.libpython
    if library is None:
        version = environment.runtime.version
        raise UsageError(
            f"Triton's Python backend needs libpython{version}.so.1.0, which was not found", hint=install_hint(version)
        )
    return library
