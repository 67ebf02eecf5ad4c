"""The targets `process` and `container` with real processes: the real tritonserver, and scripts that hang or die."""

from __future__ import annotations

import os
import stat
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine import repository
from harness.engine.spec import EngineSpec
from harness.errors import TargetNotReady, UsageError
from harness.scenario.target import EngineTarget
from harness.target import launch, native, native_commands, tritonserver
from harness.target.native import Container, ServerStart
from harness.target.opened import OpenTarget, open_target
from harness.target.ports import LOOPBACK, Ports, WantedPorts, choose
from harness.target.process import identify
from harness.target.readiness import Health
from harness.target.server_environment import prepare
from harness.target.start_phases import StartPhases
from harness.target.tritonserver import ServerFolder

pytestmark = pytest.mark.integration
ON_PROCESS = EngineTarget(engine="cpu-tiny", on="process")


def silent(_: str) -> None:
    """A progress callback that says nothing."""


def alive(pids: tuple[int, ...]) -> list[int]:
    return [pid for pid in pids if identify(pid) is not None]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenTarget]:
    with open_target(ON_PROCESS, progress=silent, log=tmp_path_factory.mktemp("log") / "triton.log") as target:
        yield target


def bring_up(start: ServerStart, log: Path, limit_s: float = 30) -> native.Running:
    return native.bring_up(start, log, limit_s=limit_s, progress=silent, phases=StartPhases())


def script(folder: Path, name: str, source: str) -> Path:
    """A Python program of this interpreter, executable under this name."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


# --- a real server ---------------------------------------------------------------------------------------------------


def test_every_phase_of_the_start_is_timed_in_its_order(opened: OpenTarget) -> None:
    phases = opened.deployment.start_phases
    order = ["process", "live", "ready", "first_token"]
    assert [phases[name] for name in order] == sorted(phases[name] for name in order)
    assert phases["process"] == 0.0 < phases["live"]
    assert phases.get("warm", phases["first_token"]) >= phases["first_token"]
    loads = {name: span for name, span in phases.items() if name.startswith("load:")}
    assert set(loads) == {"load:ensemble", "load:tensorrt_llm", "load:tensorrt_llm_bls"}
    assert all(0 < span <= phases["ready"] for span in loads.values()), "no model loads for longer than all takes"


def test_the_deployment_says_that_it_is_a_process_and_what_it_serves(opened: OpenTarget) -> None:
    assert opened.deployment.kind == "process"
    assert opened.deployment.settings["max_batch_size"] == 16
    assert opened.deployment.server["version"] == "2.51.0"
    assert opened.check_alive() is None
    assert len(alive(opened.endpoint.server_pids)) >= 5


def test_a_process_target_leaves_no_process_behind(tmp_path: Path) -> None:
    with open_target(ON_PROCESS, progress=silent, log=tmp_path / "log") as target:
        pids = target.endpoint.server_pids
        assert alive(pids) == list(pids)
    assert alive(pids) == []


def test_an_engine_of_ours_has_no_container_and_no_cluster(tmp_path: Path) -> None:
    for on, hint in (("container", "on: process"), ("kubernetes", "harness engine manifests")):
        target = EngineTarget.model_validate({"engine": "cpu-tiny", "on": on})
        with (
            pytest.raises(UsageError) as caught,
            open_target(target, progress=silent, log=tmp_path / "log"),
        ):
            pass
        assert hint in (caught.value.hint or "")


def test_the_wrong_model_is_named_with_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository whose ensemble has another name: the server is ready, and serves something else."""

    def changed(spec: EngineSpec) -> dict[str, bytes]:
        return {
            path.replace("ensemble/", "other/"): content.replace(b'name: "ensemble"', b'name: "other"')
            for path, content in repository.read_templates(spec).items()
        }

    monkeypatch.setattr(launch, "read_templates", changed)
    by_model = repository.variables_by_model
    monkeypatch.setattr(
        repository,
        "variables_by_model",
        lambda spec, paths: {("other" if k == "ensemble" else k): v for k, v in by_model(spec, paths).items()},
    )
    with (
        pytest.raises(TargetNotReady, match="no model 'ensemble'; its models: other, tensorrt_llm") as caught,
        open_target(ON_PROCESS, progress=silent, log=tmp_path / "log"),
    ):
        pass
    assert str(tmp_path / "log") in (caught.value.hint or "")


@pytest.fixture
def broken(tmp_path: Path) -> ServerStart:
    """The real tritonserver with a repository for TensorRT-LLM's C++ backend, which its wheel does not have."""
    environment, folder = prepare(silent), ServerFolder(tmp_path / "server")
    folder.root.mkdir()
    config = b'name: "tensorrt_llm"\nbackend: "tensorrtllm"\nmax_batch_size: 4\n'
    tritonserver.lay_out(folder, environment, {"tensorrt_llm/config.pbtxt": config, "tensorrt_llm/1/keep": b""})
    ports = choose(WantedPorts())
    more = [f"--backend-directory={folder.backends}", "--allow-gpu-metrics=false"]
    return ServerStart(
        command=native_commands.tritonserver(
            str(tritonserver.binary(environment)), folder.repository, ports, more=more
        ),
        health=Health("Triton", ports.http),
        working_folder=folder.working,
        variables=tritonserver.variables(environment, folder, os.environ),
    )


def test_a_backend_that_is_missing_is_the_reason_and_comes_with_advice(broken: ServerStart, tmp_path: Path) -> None:
    with pytest.raises(TargetNotReady, match="unable to find backend library for backend 'tensorrtllm'") as caught:
        bring_up(broken, tmp_path / "log")
    assert "NVIDIA's container with TensorRT-LLM" in (caught.value.hint or "")


# --- scripts: constructed, never a real server -----------------------------------------------------------------------


def test_a_server_that_dies_while_loading_is_explained(tmp_path: Path) -> None:
    source = """
        import sys, time
        print("[TensorRT-LLM][INFO] loading", flush=True)
        time.sleep(0.2)
        print("CUDA runtime error in ::cudaMallocAsync(ptr, n, pool, stream): out of memory", flush=True)
        sys.exit(1)
    """
    start = ServerStart([str(script(tmp_path, "trtllm", source))], Health("trtllm-serve", 1), tmp_path)
    with pytest.raises(TargetNotReady, match=r"ended before it was ready \(exit code 1\)") as caught:
        bring_up(start, tmp_path / "log")
    assert "out of memory" in caught.value.message
    assert "too little free memory" in (caught.value.hint or "")


def test_a_server_that_hangs_is_ended_with_its_children_and_told_what_it_was_doing(tmp_path: Path) -> None:
    source = """
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open("pids", "w").write(f"{os.getpid()} {child.pid}")
        print('I1125 05:00:00.000000 1 model_lifecycle.cc:472] "loading: tensorrt_llm:1"', flush=True)
        time.sleep(60)
    """
    start = ServerStart([str(script(tmp_path, "hangs", source))], Health("Triton", 1), tmp_path, grace_s=1)
    with pytest.raises(TargetNotReady, match=r"not ready after .*, still loading tensorrt_llm"):
        bring_up(start, tmp_path / "log", limit_s=1.5)
    pids = tuple(int(pid) for pid in (tmp_path / "pids").read_text().split())
    assert len(pids) == 2
    assert alive(pids) == []


def test_a_program_that_does_not_exist_is_said(tmp_path: Path) -> None:
    start = ServerStart(["/nowhere/tritonserver"], Health("Triton", 1), tmp_path)
    with pytest.raises(TargetNotReady, match="ended before it was ready"):
        bring_up(start, tmp_path / "log")


ANSWERS = """
    import http.server, os, pathlib, sys
    here = pathlib.Path(__file__).parent
    with (here / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\\n")
    if sys.argv[1] == "run":
        port = int(sys.argv[sys.argv.index("--publish") + 1].split(":")[1])
        class Ready(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200); self.end_headers()
            def log_message(self, *words): pass
        (here / "pid").write_text(str(os.getpid()))
        http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


def test_a_container_is_run_under_a_name_and_removed_by_it(tmp_path: Path) -> None:
    """A constructed `docker`, never the real one: it notes how it is called, and answers for the server inside."""
    docker = script(tmp_path, "docker", ANSWERS)
    ports = choose(WantedPorts())
    inner = native_commands.tritonserver("tritonserver", Path("/repo"), native_commands.INSIDE, address="0.0.0.0")
    command, container = native_commands.in_container(
        str(docker),
        "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3",
        inner,
        mounts=[Path("/repo")],
        published={ports.http: 8000},
        variables={"HF_TOKEN": "secret"},
    )
    start = ServerStart(command, Health("Triton", ports.http), tmp_path, container=container, grace_s=2)
    running = bring_up(start, tmp_path / "log")
    assert running.check_alive() is None
    native.take_down(start, running.child)
    run, remove = (tmp_path / "calls").read_text().splitlines()
    assert f"--name {container.name}" in run
    assert f"--publish {LOOPBACK}:{ports.http}:8000" in run
    assert "--volume /repo:/repo" in run
    assert "secret" not in run
    assert remove == f"rm --force {container.name}"
    assert alive((int((tmp_path / "pid").read_text()),)) == []


def test_a_container_program_that_hangs_on_removal_is_said_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "CONTAINER_LIMIT_S", 0.3)
    docker = script(tmp_path, "docker", "import time; time.sleep(30)")
    began = time.monotonic()
    with pytest.raises(TargetNotReady, match="the container mine may still run") as caught:
        native.remove_container(Container(str(docker), "mine"))
    assert time.monotonic() - began < 20
    assert caught.value.hint == f"remove it: {docker} rm --force mine"


def test_only_rank_0_of_several_processes_serves() -> None:
    command = native_commands.tritonserver("tritonserver", Path("/repo"), Ports(1, 2, 3), world_size=2)
    first, second = " ".join(command).removeprefix("mpirun --allow-run-as-root ").split(" : ")
    assert "--grpc-port=1" in first
    assert "--http-address=127.0.0.1" in first
    assert "--load-model=tensorrt_llm" in second
    assert "--allow-grpc=false" in second
    assert "prefix0_" in first
    assert "prefix1_" in second
