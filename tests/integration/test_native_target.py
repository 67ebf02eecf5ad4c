"""The targets `process` and `container` with real processes: the real tritonserver, and scripts that hang or die."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
import textwrap
import time
from pathlib import Path

import pytest
import yaml

from harness.engine import repository
from harness.engine.spec import EngineSpec
from harness.errors import TargetNotReady, UsageError
from harness.scenario.target import EngineTarget
from harness.target import launch, native, native_commands, tritonserver
from harness.target.native import Container, ServerStart
from harness.target.opened import open_target
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


def bring_up(start: ServerStart, log: Path, limit_s: float = 30) -> native.Running:
    return native.bring_up(start, log, limit_s=limit_s, progress=silent, phases=StartPhases())


def script(folder: Path, name: str, source: str) -> Path:
    """A Python program of this interpreter, executable under this name."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


# --- a real server ---------------------------------------------------------------------------------------------------


def test_a_real_server_times_its_start_says_what_it_is_and_leaves_no_process_behind(tmp_path: Path) -> None:
    with open_target(ON_PROCESS, progress=silent, log=tmp_path / "triton.log") as target:
        pids, deployment = target.endpoint.server_pids, target.deployment
        assert target.check_alive() is None
        assert alive(pids) == list(pids)
        assert len(pids) >= 5, "Triton, three stubs, the engine process"
    assert alive(pids) == []
    assert deployment.kind == "process"
    assert deployment.settings["max_batch_size"] == 16
    assert deployment.server["version"] == "2.51.0"
    phases = deployment.start_phases
    order = ["process", "live", "ready", "first_token"]
    assert [phases[name] for name in order] == sorted(phases[name] for name in order)
    assert phases["process"] == 0.0 < phases["live"]
    assert phases.get("warm", phases["first_token"]) >= phases["first_token"]
    loads = {name: span for name, span in phases.items() if name.startswith("load:")}
    assert set(loads) == {"load:ensemble", "load:tensorrt_llm", "load:tensorrt_llm_bls"}
    assert all(0 < span <= phases["ready"] for span in loads.values()), "no model loads for longer than all takes"


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


# What TensorRT-LLM says as Triton wraps it: the texts of its source and of issues, see tests/unit/target.
LOAD_FAILED = """\
I1125 05:00:00.000000 1 model_lifecycle.cc:472] "loading: tensorrt_llm:1"
[TensorRT-LLM][INFO] Engine version 1.2.1 found in the config file, assuming engine(s) built by new builder API.
E1125 05:00:01.000000 1 model_lifecycle.cc:642] "failed to load 'tensorrt_llm' version 1: Internal: {why}"
I1125 05:00:01.000000 1 model_lifecycle.cc:777] "failed to load 'tensorrt_llm'"
error: creating server: Internal - failed to load all models
"""
CREATING = "unexpected error when creating modelInstanceState: [TensorRT-LLM][ERROR]"


@pytest.mark.parametrize("leaves", [True, False], ids=["ends", "runs on"])
@pytest.mark.parametrize(
    ("why", "reason", "next_step"),
    [
        (
            f"{CREATING} CUDA runtime error in ::cudaMallocAsync(ptr, n, pool, stream): out of memory",
            "out of memory",
            "lower kv_cache_free_gpu_mem_fraction",
        ),
        (
            f"{CREATING} Assertion failed: maxTokensInPagedKvCache (1024) must be large enough to process at least 1 "
            "sequence to completion (i.e. must be larger than beam_width (1) * tokensPerBlock (64))",
            "maxTokensInPagedKvCache (1024)",
            "lower max_seq_len",
        ),
        (
            f"{CREATING} IPluginRegistry::getCreator: could not find plugin GPTAttention version 1",
            "could not find plugin GPTAttention",
            "build the engine with the version that serves it",
        ),
        (
            f"{CREATING} Error opening engine file: /engines/8b/rank0.engine: No such file or directory",
            "/engines/8b/rank0.engine",
            "check engine_dir and tokenizer",
        ),
        (
            f"{CREATING} When KV cache block reuse is set, model has to be built with paged context FMHA support",
            "paged context FMHA",
            "set enable_kv_cache_reuse: false",
        ),
    ],
    ids=["out of memory", "KV cache too small", "plugin missing", "bad path", "reuse without paging"],
)
def test_a_model_that_does_not_load_is_the_reason_and_comes_with_the_next_step(
    tmp_path: Path, why: str, reason: str, next_step: str, leaves: bool
) -> None:
    """Whether the server then ends or, as some do, runs on without the model; nothing of it is left."""
    source = f"""
        import os, sys, time
        open("pid", "w").write(str(os.getpid()))
        sys.stdout.write({LOAD_FAILED.format(why=why)!r})
        sys.stdout.flush()
        {"sys.exit(1)" if leaves else "time.sleep(60)"}
    """
    start = ServerStart([str(script(tmp_path, "tritonserver", source))], Health("Triton", 1), tmp_path, grace_s=1)
    with pytest.raises(TargetNotReady, match="model tensorrt_llm failed to load") as caught:
        bring_up(start, tmp_path / "log")
    assert reason in caught.value.message
    assert next_step in (caught.value.hint or "")
    assert alive((int((tmp_path / "pid").read_text()),)) == []


def test_a_repository_that_is_not_there_is_named_by_the_real_triton(broken: ServerStart, tmp_path: Path) -> None:
    (flag,) = [word for word in broken.command if word.startswith("--model-repository=")]
    command = [word if word != flag else f"--model-repository={tmp_path}/nowhere" for word in broken.command]
    with pytest.raises(TargetNotReady, match="ended before it was ready") as caught:
        bring_up(dataclasses.replace(broken, command=command), tmp_path / "log")
    assert f"{tmp_path}/nowhere" in f"{caught.value.message} {caught.value.hint}"
    assert "check the path; in a container, whether it is mounted" in (caught.value.hint or "")


def test_a_server_that_the_kernel_kills_while_it_loads_says_so_with_the_likely_cause(tmp_path: Path) -> None:
    """Host memory is what runs out when weights are read; the server's log then ends without a word."""
    source = """
        import os, signal
        print("[TensorRT-LLM][INFO] loading weights", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    start = ServerStart([str(script(tmp_path, "killed", source))], Health("Triton", 1), tmp_path)
    with pytest.raises(TargetNotReady, match="SIGKILL") as caught:
        bring_up(start, tmp_path / "log")
    assert "loading weights" in caught.value.message
    assert "host's memory" in (caught.value.hint or "")


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


SERVE_SPEC = """\
kind: serve
name: mine
tensorrt_llm_version: "1.2.1"
model: {source: /models/mine}
gpu: {product: NVIDIA H200, memory_gib: 141}
llm: {max_batch_size: 64, max_num_tokens: 8192, kv_cache_config: {enable_block_reuse: false}}
server: {served_model_name: mine-8b}
"""
TRTLLM_SERVE = """
    import http.server, json, os, pathlib, sys, time
    import yaml
    here = pathlib.Path(__file__).parent
    said = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    options = yaml.safe_load(open(said["--extra_llm_api_options"]))
    (here / "arguments").write_text(yaml.safe_dump([sys.argv[1], said, options]))
    print("constructed trtllm-serve, never the real one", flush=True)
    time.sleep(0.3)
    asked = 0
    class Api(http.server.BaseHTTPRequestHandler):
        def answer(self, content, status=200):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            name = os.environ.get("SERVED") or said["--served_model_name"]
            answers = {"/health": {}, "/version": {"version": "1.2.1"}, "/v1/models": {"data": [{"id": name}]}}
            self.answer(answers.get(self.path, {}), 200 if self.path in answers else 404)
        def do_POST(self):
            global asked
            asked += 1
            time.sleep(0.4 if asked == 1 else 0.05)
            if os.environ.get("EMPTY"):
                return self.answer(b"data: [DONE]\\n\\n")
            self.answer(b'data: {"choices": [{"text": "a"}]}\\n\\ndata: [DONE]\\n\\n')
        def log_message(self, *words): pass
    http.server.HTTPServer(("127.0.0.1", int(said["--port"])), Api).serve_forever()
"""


@pytest.fixture
def serve_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineTarget:
    """A spec of trtllm-serve, and a constructed program of that name on PATH, never the real one."""
    (tmp_path / "mine.yaml").write_text(SERVE_SPEC)
    script(tmp_path, "trtllm-serve", TRTLLM_SERVE)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    spec = str(tmp_path / "mine.yaml")
    return EngineTarget.model_validate({"engine": spec, "on": "process", "protocol": "openai_completions"})


def test_trtllm_serve_gets_the_spec_s_arguments_and_is_warm_when_its_answers_no_longer_get_faster(
    serve_target: EngineTarget, tmp_path: Path
) -> None:
    with open_target(serve_target, progress=silent, log=tmp_path / "log") as target:
        source, flags, arguments = yaml.safe_load((tmp_path / "arguments").read_text())
        phases = target.deployment.start_phases
        assert target.endpoint.model == "mine-8b"
        assert target.deployment.gpu_count == 1
        assert target.deployment.settings["max_batch_size"] == 64
        pids = target.endpoint.server_pids
    assert source == "/models/mine"
    assert flags["--served_model_name"] == "mine-8b"
    assert flags["--host"] == LOOPBACK
    assert arguments["max_batch_size"] == 64
    assert arguments["kv_cache_config"]["enable_block_reuse"] is False
    assert phases["live"] >= 0.3
    assert phases["first_token"] - phases["ready"] >= 0.4, "the first answer is slow"
    assert phases["warm"] > phases["first_token"]
    assert alive(pids) == []


def test_trtllm_serve_with_another_model_is_said(
    serve_target: EngineTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED", "other-8b")
    reason = "no model 'mine-8b'; its models: other-8b"
    with pytest.raises(TargetNotReady, match=reason), open_target(serve_target, progress=silent, log=tmp_path / "log"):
        pass


def test_a_ready_server_that_answers_nothing_is_not_ready(
    serve_target: EngineTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "1")
    with (
        pytest.raises(TargetNotReady, match="does not answer a request of 2 tokens"),
        open_target(serve_target, progress=silent, log=tmp_path / "log"),
    ):
        pass


def test_an_engine_of_trtllm_serve_needs_openai_s_protocol_and_another_place_than_embedded(
    serve_target: EngineTarget, tmp_path: Path
) -> None:
    for changed, hint in (({"protocol": "triton_grpc"}, "openai_completions"), ({"on": "embedded"}, "on: process")):
        target = EngineTarget.model_validate({**serve_target.model_dump(), **changed})
        with pytest.raises(UsageError) as caught, open_target(target, progress=silent, log=tmp_path / "log"):
            pass
        assert hint in (caught.value.hint or "")


def test_a_classic_engine_that_was_not_built_names_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "classic.yaml").write_text(CLASSIC_SPEC.format(source=tmp_path / "weights"))
    target = EngineTarget.model_validate({"engine": str(tmp_path / "classic.yaml"), "on": "container"})
    with (
        pytest.raises(UsageError, match="the engine of classic has not been built") as caught,
        open_target(target, progress=silent, log=tmp_path / "log"),
    ):
        pass
    assert "harness engine build classic" in (caught.value.hint or "")
    place = Path(str(caught.value).partition("there is no ")[2].partition(")")[0])
    place.mkdir(parents=True)  # as if its mark had been lost
    with (
        pytest.raises(UsageError, match=r"in the cache is damaged: .*built\.json"),
        open_target(target, progress=silent, log=tmp_path / "log"),
    ):
        pass


CLASSIC_SPEC = """\
kind: classic
name: classic
tensorrt_llm_version: "1.2.1"
model: {{source: {source}}}
gpu: {{product: NVIDIA H100 80GB HBM3, memory_gib: 80}}
checkpoint: {{made_by: convert}}
build: {{max_batch_size: 64, max_num_tokens: 4096, max_seq_len: 2048}}
serving: {{enable_kv_cache_reuse: false}}
"""


LLMAPI_SPEC = """\
kind: llmapi
name: api
tensorrt_llm_version: "1.2.1"
model: {source: /models/mine}
gpu: {product: NVIDIA H200, memory_gib: 141}
llm: {max_batch_size: 64, max_num_tokens: 8192, kv_cache_config: {enable_block_reuse: false}}
"""
REAL_TRITON = """
    import os, sys
    os.environ["PATH"] = {path!r} + ":" + os.environ["PATH"]
    os.environ["LD_LIBRARY_PATH"] = {libraries!r}
    more = ["--backend-directory=" + {backends!r}, "--allow-gpu-metrics=false"]
    os.execv({binary!r}, [{binary!r}, *sys.argv[1:], *more])
"""


def test_a_rendered_llm_api_model_on_a_triton_without_tensorrt_llm_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real tritonserver and the repository as it would be deployed; only TensorRT-LLM itself is not there."""
    environment, folder = prepare(silent), ServerFolder(tmp_path / "server")
    folder.root.mkdir()
    tritonserver.lay_out(folder, environment, {})
    source = REAL_TRITON.format(
        path=str(environment.root / "bin"),
        libraries=str(folder.libraries),
        backends=str(folder.backends),
        binary=str(tritonserver.binary(environment)),
    )
    script(tmp_path, "tritonserver", source)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "api.yaml").write_text(LLMAPI_SPEC)
    spec = str(tmp_path / "api.yaml")
    target = EngineTarget.model_validate({"engine": spec, "on": "process", "model": "tensorrt_llm"})
    with (
        pytest.raises(TargetNotReady, match="No module named 'tensorrt_llm'") as caught,
        open_target(target, progress=silent, log=tmp_path / "log"),
    ):
        pass
    assert "use NVIDIA's container with TensorRT-LLM" in (caught.value.hint or "")
