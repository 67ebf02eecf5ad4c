"""The embedded target with real processes: Triton, its Python backend, the engine process.

The first test of a session may make the environment (about 500 MB); the cache is the user's own, or HARNESS_CACHE.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from harness.cli.engine_commands import engine as engine_group
from harness.cli.engine_inspect_command import inspect
from harness.engine import repository
from harness.engine.load import LoadedEngine, load_engine
from harness.engine.spec import EngineSpec
from harness.errors import TargetNotReady, UsageError
from harness.scenario.target import Attach, AttachTarget, EngineTarget
from harness.target import launch, server_environment, server_log, started
from harness.target.launch import Launched
from harness.target.opened import OpenTarget, open_target
from harness.target.ports import LOOPBACK, Ports, WantedPorts
from harness.target.process import family, identify
from harness.target.server_environment import prepare

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SECONDS = 20.0  # far above what any of this takes; only bounds a hang
ANY_PORTS = WantedPorts()


def silent(_: str) -> None:
    """A progress callback that says nothing."""


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true in bounded time."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def running(pids: tuple[int, ...] | list[int]) -> list[int]:
    """Those that run; a zombie waits only for its parent."""
    return [pid for pid in pids if identify(pid) is not None]


def private_folders(place: Path) -> set[Path]:
    return set(place.glob("harness-*/repository"))


@pytest.fixture(scope="module")
def tiny() -> LoadedEngine:
    prepare(lambda line: print(line, file=sys.stderr))
    return load_engine("cpu-tiny")


@pytest.fixture(scope="module")
def open_tiny(tiny: LoadedEngine) -> Iterator[OpenTarget]:
    with open_target(EngineTarget(engine="cpu-tiny"), progress=silent) as target:
        yield target


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    """A state folder of its own; whatever a test leaves up is taken down."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    runner = CliRunner()
    yield runner
    runner.invoke(engine_group, ["down", "--all"])


def with_model(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Replace the Python of the tensorrt_llm model in the repository that will be rendered."""

    def changed(spec: EngineSpec) -> dict[str, bytes]:
        return {**repository.read_templates(spec), "tensorrt_llm/1/model.py": textwrap.dedent(source).encode()}

    monkeypatch.setattr(launch, "read_templates", changed)


def try_launch(engine: LoadedEngine, folder: Path, wanted: WantedPorts = ANY_PORTS, limit_s: float = 60) -> Launched:
    return launch.launch(engine, folder / "triton.log", wanted=wanted, tethered=True, limit_s=limit_s, progress=silent)


# --- the target as a run uses it -----------------------------------------------------------------------------------


def test_an_open_target_says_what_it_is_and_counts_tokens_itself(open_tiny: OpenTarget) -> None:
    deployment = open_tiny.deployment
    assert deployment.kind == "embedded"
    assert deployment.deployment_id.startswith("cpu-tiny-")
    assert deployment.server["version"] == "2.51.0"
    assert deployment.settings["max_batch_size"] == 16
    assert deployment.token_count_source == "server"
    assert deployment.not_available == {}
    assert "max_batch_size: 16" in (deployment.engine_spec or "")


def test_an_open_target_has_the_classic_contract_a_tokenizer_and_its_processes(open_tiny: OpenTarget) -> None:
    assert open_tiny.contract is not None
    assert {"text_input", "max_tokens", "stream", "return_num_output_tokens"} <= open_tiny.contract.inputs.keys()
    assert {"text_output", "num_output_tokens", "first_token_time_ns"} <= open_tiny.contract.outputs.keys()
    assert open_tiny.endpoint.tokenizer is not None
    assert open_tiny.endpoint.tokenizer.is_file()
    names = {psutil.Process(pid).name() for pid in open_tiny.endpoint.server_pids}
    assert "tritonserver" in names
    assert len(open_tiny.endpoint.server_pids) >= 5, "Triton, three stubs, the engine process"
    assert open_tiny.check_alive() is None


def test_an_open_target_of_the_llm_api_has_its_contract_and_counts_with_the_tokenizer(tiny: LoadedEngine) -> None:
    target = EngineTarget(engine="cpu-tiny-llmapi", model="tensorrt_llm")
    with open_target(target, progress=silent) as opened:
        assert opened.contract is not None
        assert {"text_input", "streaming", "sampling_param_max_tokens"} <= opened.contract.inputs.keys()
        assert opened.contract.inputs["text_input"].shape == (-1,)
        assert opened.deployment.settings["contract"] == "llmapi"
        assert opened.deployment.token_count_source == "tokenizer"
        assert opened.check_alive() is None


def test_a_model_that_the_engine_s_contract_lacks_is_named_before_anything_starts() -> None:
    target, reason = EngineTarget(engine="cpu-tiny-llmapi"), "has no model 'ensemble'; its models: tensorrt_llm"
    with pytest.raises(UsageError, match=reason), open_target(target, progress=silent):
        pass


def test_the_server_s_settings_are_those_of_the_spec(open_tiny: OpenTarget, tiny: LoadedEngine) -> None:
    """What the running server's own configuration says, not what we asked: `attach` reads it back."""
    attach = AttachTarget(attach=Attach(url=open_tiny.endpoint.url, model="tensorrt_llm"))
    with open_target(attach, progress=silent) as attached:
        told = attached.deployment.settings
    asked = tiny.spec.settings.model_dump()
    assert {name: told[name] for name in asked if name in told} == {n: v for n, v in asked.items() if n in told}
    assert {"max_batch_size", "max_num_tokens", "max_seq_len", "max_tokens_in_paged_kv_cache"} <= told.keys()


@pytest.mark.parametrize("port", ["grpc", "http"])
def test_inspecting_a_running_server_tells_what_it_is_and_where_it_differs(open_tiny: OpenTarget, port: str) -> None:
    grpc, http = open_tiny.endpoint.url, _http_of(open_tiny)
    url = grpc if port == "grpc" else http
    same = CliRunner().invoke(inspect, [url, "--spec", "cpu-tiny"])
    assert same.exit_code == 0
    assert "triton 2.51.0" in same.stdout
    assert "as cpu-tiny says, in all that both of them tell" in same.stdout
    other = CliRunner().invoke(inspect, [url, "--spec", "cpu-small", "--json"], standalone_mode=False)
    assert other.return_value == 1
    said = json.loads(other.stdout)
    assert said["values"]["contract"] == "classic"
    assert [difference["name"] for difference in said["differences"]] == ["max_tokens_in_paged_kv_cache"]


def _http_of(target: OpenTarget) -> str:
    """The HTTP port of the server: the one of its listeners that is neither gRPC nor the metrics page."""
    known = {
        int(target.endpoint.url.split(":")[1]),
        int((target.endpoint.metrics_url or "").split(":")[2].split("/")[0]),
    }
    server = next(
        psutil.Process(pid) for pid in target.endpoint.server_pids if psutil.Process(pid).name() == "tritonserver"
    )
    listening = {c.laddr.port for c in server.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    (port,) = listening - known
    return f"{LOOPBACK}:{port}"


def test_attaching_to_a_model_that_does_not_exist_lists_those_that_do(open_tiny: OpenTarget) -> None:
    attach = AttachTarget(attach=Attach(url=open_tiny.endpoint.url, model="ensemle"))
    with (
        pytest.raises(TargetNotReady, match="no model 'ensemle'; its models: ensemble, tensorrt_llm") as caught,
        open_target(attach, progress=silent),
    ):
        pass
    assert caught.value.hint == "did you mean 'ensemble'?"


def test_attaching_to_the_metrics_port_says_that_it_is_no_grpc(open_tiny: OpenTarget) -> None:
    port = (open_tiny.endpoint.metrics_url or "").split(":")[2].split("/")[0]
    attach = AttachTarget(attach=Attach(url=f"{LOOPBACK}:{port}"))
    with pytest.raises(TargetNotReady, match="speaks HTTP/1, not gRPC"), open_target(attach, progress=silent):
        pass


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary place of its own, with a short name: other servers of this machine use the usual one."""
    with tempfile.TemporaryDirectory(prefix="place-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_closing_leaves_no_process_and_no_folder(tiny: LoadedEngine, place: Path) -> None:
    with open_target(EngineTarget(engine="cpu-tiny"), progress=silent) as target:
        pids = target.endpoint.server_pids
        assert len(private_folders(place)) == 1
        assert running(pids) == list(pids)
    assert running(pids) == []
    assert private_folders(place) == set()


# --- it ends when something ends -----------------------------------------------------------------------------------


def test_a_killed_server_is_noticed_with_its_signal_and_nothing_is_left(tiny: LoadedEngine) -> None:
    with open_target(EngineTarget(engine="cpu-tiny"), progress=silent) as target:
        pids = target.endpoint.server_pids
        server = next(pid for pid in pids if psutil.Process(pid).name() == "tritonserver")
        os.kill(server, signal.SIGKILL)
        assert eventually(lambda: target.check_alive() is not None)
        assert "signal 9 (SIGKILL)" in (target.check_alive() or "")
    assert running(pids) == []


def test_a_killed_engine_process_is_noticed_although_triton_lives(tiny: LoadedEngine) -> None:
    with open_target(EngineTarget(engine="cpu-tiny"), progress=silent) as target:
        pids = target.endpoint.server_pids
        engine = next(pid for pid in pids if "engine_process.py" in " ".join(psutil.Process(pid).cmdline()))
        os.kill(engine, signal.SIGKILL)
        assert eventually(lambda: target.check_alive() is not None)
        assert f"pid {engine}" in (target.check_alive() or "")
    assert running(pids) == []


def test_a_killed_harness_takes_its_server_with_it(tiny: LoadedEngine) -> None:
    """The process that opened the target gets kill -9: nobody is left to clean up but the kernel."""
    program = """
        import time
        from harness.scenario.target import EngineTarget
        from harness.target.opened import open_target
        with open_target(EngineTarget(engine="cpu-tiny"), progress=lambda line: None) as target:
            print(*target.endpoint.server_pids, flush=True)
            time.sleep(60)
    """
    root = Path(server_environment.__file__).resolve().parents[2]
    harness = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert harness.stdout is not None
    with harness, harness.stdout as said:
        pids = [int(pid) for pid in said.readline().split()]
        assert running(pids) == pids
        assert pids
        harness.kill()
    assert eventually(lambda: running(pids) == [])


# --- it does not become ready --------------------------------------------------------------------------------------


def test_a_wanted_port_in_use_is_named_before_anything_starts(tiny: LoadedEngine, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(TargetNotReady, match=f"port {port} on {LOOPBACK}, wanted for grpc"):
            try_launch(tiny, tmp_path, WantedPorts(grpc=port))
    assert not (tmp_path / "triton.log").exists()


@pytest.mark.parametrize("service", ["grpc", "http", "metrics"])
def test_a_free_port_lost_to_somebody_is_replaced(
    tiny: LoadedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """Between choosing a port and starting, somebody takes it: Triton says so in its log, and another one is chosen."""
    choose, taken = launch.choose, []
    with socket.create_server((LOOPBACK, 0)) as holder:
        number = holder.getsockname()[1]

        def unlucky(wanted: WantedPorts) -> Ports:
            ports = choose(wanted)
            taken.append(ports)
            return Ports(**{**vars(ports), service: number}) if len(taken) == 2 else ports

        monkeypatch.setattr(launch, "choose", unlucky)
        launched = try_launch(tiny, tmp_path)
        try:
            assert len(taken) == 3, "once before anything slow, once in vain, once with success"
            assert launched.ports == taken[2]
        finally:
            launch.shut_down(launched)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("def broken(:\n", "model tensorrt_llm failed to load: SyntaxError"),
        (
            """
            class TritonPythonModel:
                def initialize(self, arguments):
                    raise RuntimeError("the engine process did not start: no such model folder")
                def execute(self, requests):
                    return []
            """,
            "model tensorrt_llm failed to load: RuntimeError: the engine process did not start: no such model folder",
        ),
        (
            """
            import os
            class TritonPythonModel:
                def initialize(self, arguments):
                    os.kill(os.getpid(), 11)
                def execute(self, requests):
                    return []
            """,
            "model tensorrt_llm failed to load: Stub process 'tensorrt_llm_0_0' is not healthy",
        ),
    ],
    ids=["syntax error", "exception", "segmentation fault"],
)
def test_a_model_that_does_not_load_is_named_with_its_own_words(
    tiny: LoadedEngine, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, model: str, reason: str
) -> None:
    with_model(monkeypatch, model)
    before = children()
    with pytest.raises(TargetNotReady) as caught:
        try_launch(tiny, tmp_path)
    assert reason in caught.value.message
    assert str(tmp_path / "triton.log") in (caught.value.hint or "")
    assert children() <= before
    assert private_folders(place) == set()


def test_a_server_that_is_not_ready_in_time_is_stopped_and_its_log_shown(
    tiny: LoadedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_model(
        monkeypatch,
        """
        import time
        class TritonPythonModel:
            def initialize(self, arguments):
                time.sleep(60)
            def execute(self, requests):
                return []
        """,
    )
    before = children()
    with pytest.raises(TargetNotReady, match=r"was not ready after 3\.0 s") as caught:
        try_launch(tiny, tmp_path, limit_s=3)
    assert "loading: tensorrt_llm:1" in caught.value.message
    assert children() <= before


def test_a_missing_libpython_is_told_at_once_although_triton_would_wait_for_ever(
    tiny: LoadedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = launch.tritonserver.lay_out

    def without_library(folder: launch.ServerFolder, *rest: object) -> None:
        real(folder, *rest)  # type: ignore[arg-type]
        stub = folder.backends / "python" / "triton_python_backend_stub"
        other = stub.resolve().parents[1] / "3.8" / stub.name  # linked against a Python that is not here
        stub.unlink()
        stub.symlink_to(other)

    monkeypatch.setattr(launch.tritonserver, "lay_out", without_library)
    before = children()
    with pytest.raises(TargetNotReady, match=r"cannot load libpython3\.8\.so\.1\.0"):
        try_launch(tiny, tmp_path)
    assert children() <= before


def children() -> set[int]:
    """Processes below this one that run."""
    return {child.pid for child in psutil.Process().children(recursive=True) if identify(child.pid) is not None}


# --- the server environment ----------------------------------------------------------------------------------------


def test_a_second_preparation_uses_the_cache(tiny: LoadedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_install(*_: object) -> None:
        raise AssertionError("installed again")

    monkeypatch.setattr(server_environment, "_make", must_not_install)
    said: list[str] = []
    assert prepare(said.append).python.exists()
    assert said == []


def test_a_failed_installation_shows_pip_s_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path}/no-such-wheel-1.0-py3-none-any.whl\n")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(server_environment, "requirement_files", lambda library: (requirements, requirements))
    with pytest.raises(UsageError, match="no-such-wheel"):
        prepare(silent)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_the_server_s_python_has_numpy_1_and_knows_nothing_of_the_harness(tiny: LoadedEngine) -> None:
    environment = prepare(silent)
    variables = server_environment.child_variables({**os.environ, "PYTHONPATH": str(Path.cwd())})
    program = "import importlib.util as u, numpy; print(numpy.__version__[0], u.find_spec('harness'))"
    answer = subprocess.run(
        [environment.python, "-c", program], env=variables, cwd="/", capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["1", "None"]


# --- harness engine up, status, logs, down -------------------------------------------------------------------------


def test_an_engine_is_up_until_it_is_taken_down(tiny: LoadedEngine, state: CliRunner) -> None:
    first = state.invoke(engine_group, ["up", "cpu-tiny"], catch_exceptions=False)
    assert "cpu-tiny is up after" in first.output
    again = state.invoke(engine_group, ["up", "cpu-tiny"], catch_exceptions=False)
    assert "runs already" in again.output
    shown = state.invoke(engine_group, ["status"], catch_exceptions=False).output
    assert "cpu-tiny: alive" in shown
    assert "resident" in shown
    pid = int(shown.split("pid ")[1].split(",")[0])
    assert "Started GRPCInferenceService" in state.invoke(engine_group, ["logs", "-n", "30"]).output
    assert state.invoke(engine_group, ["down"], catch_exceptions=False).output == "cpu-tiny is down\n"
    assert running([pid]) == []
    assert "no engine is up" in state.invoke(engine_group, ["status"]).output


def test_a_killed_engine_is_shown_as_dead_and_cleared_away(tiny: LoadedEngine, state: CliRunner) -> None:
    state.invoke(engine_group, ["up", "cpu-tiny"], catch_exceptions=False)
    shown = state.invoke(engine_group, ["status"]).output
    pid = int(shown.split("pid ")[1].split(",")[0])
    members = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: "cpu-tiny: dead" in state.invoke(engine_group, ["status"]).output)
    assert eventually(lambda: running(members) == []), "stubs and engine process end with their Triton"
    assert "had died already" in state.invoke(engine_group, ["down", "cpu-tiny"]).output


def test_a_killed_up_leaves_a_record_by_which_its_server_is_taken_down(tiny: LoadedEngine, state: CliRunner) -> None:
    """`up` gets kill -9 while its server starts: the server lives on, but `down` knows it."""
    root = Path(server_environment.__file__).resolve().parents[2]
    up = subprocess.Popen(
        [sys.executable, "-m", "harness.cli.main", "engine", "up", "cpu-tiny"],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with up:
        assert eventually(lambda: started.find("cpu-tiny") is not None)
        up.kill()
    record = started.find("cpu-tiny")
    assert record is not None
    assert record.alive
    assert state.invoke(engine_group, ["down", "cpu-tiny"]).output == "cpu-tiny is down\n"
    assert not record.alive
    assert family(record.identity) == []


def test_taking_down_what_is_not_up_names_what_is(state: CliRunner) -> None:
    result = state.invoke(engine_group, ["down", "cpu-tinny"])
    assert isinstance(result.exception, UsageError)
    assert "no engine 'cpu-tinny' was started" in str(result.exception)


def test_the_reason_survives_in_the_log(tiny: LoadedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_model(monkeypatch, "raise RuntimeError('at import')\n")
    with pytest.raises(TargetNotReady):
        try_launch(tiny, tmp_path)
    assert "at import" in (server_log.reason(server_log.read_tail(tmp_path / "triton.log")) or "")
