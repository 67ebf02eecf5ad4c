"""Layout, command line and variables of tritonserver, with a fake environment on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.target import tritonserver
from harness.target.ports import Ports
from harness.target.python_runtime import Runtime
from harness.target.server_environment import ServerEnvironment
from harness.target.tritonserver import ServerFolder

PORTS = Ports(grpc=1, http=2, metrics=3)


@pytest.fixture
def environment(tmp_path: Path) -> ServerEnvironment:
    library = tmp_path / "usr" / "libpython3.11.so.1.0"
    found = ServerEnvironment(tmp_path / "env", Runtime("python3.11", "3.11", "/usr", library))
    wheel = found.site_packages / "pytriton" / "tritonserver"
    stub = wheel / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    backend = wheel / "backends" / "python"
    files = [stub, wheel / "bin" / "tritonserver", library]
    for file in [*files, *(backend / name for name in tritonserver.BACKEND_FILES)]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    return found


def test_the_folder_holds_the_repository_and_a_complete_python_backend(
    tmp_path: Path, environment: ServerEnvironment
) -> None:
    folder = ServerFolder(tmp_path / "server")
    tritonserver.lay_out(folder, environment, {"m/config.pbtxt": b"x", "m/1/model.py": b"y"})
    assert (folder.repository / "m" / "1" / "model.py").read_bytes() == b"y"
    backend = {link.name: link.read_text() for link in (folder.backends / "python").iterdir()}
    assert backend == {name: name for name in (*tritonserver.BACKEND_FILES, "triton_python_backend_stub")}
    assert [link.name for link in folder.libraries.iterdir()] == ["libpython3.11.so.1.0"]
    assert not list(folder.working.iterdir()), "the working folder is on the stub's sys.path"


def test_every_listener_is_on_the_loopback_interface(tmp_path: Path, environment: ServerEnvironment) -> None:
    command = tritonserver.command(environment, ServerFolder(tmp_path), PORTS)
    for service, port in (("grpc", 1), ("http", 2), ("metrics", 3)):
        assert f"--{service}-address=127.0.0.1" in command
        assert f"--{service}-port={port}" in command


def test_the_environment_s_python_is_first_on_path_and_libpython_alone_is_added(
    tmp_path: Path, environment: ServerEnvironment
) -> None:
    inherited = {"PATH": "/usr/bin", "PYTHONPATH": "/harness", "LD_LIBRARY_PATH": "/cuda"}
    variables = tritonserver.variables(environment, ServerFolder(tmp_path), inherited)
    assert variables["PATH"] == f"{environment.root}/bin:/usr/bin"
    assert variables["LD_LIBRARY_PATH"] == f"{tmp_path}/lib:/cuda"
    assert "PYTHONPATH" not in variables


def test_a_wheel_without_a_stub_for_this_python_is_said(tmp_path: Path, environment: ServerEnvironment) -> None:
    tritonserver.backend_files(environment)[-1].unlink()
    with pytest.raises(UsageError, match=r"no python_backend_stubs/3\.11/triton_python_backend_stub"):
        tritonserver.lay_out(ServerFolder(tmp_path / "server"), environment, {})
