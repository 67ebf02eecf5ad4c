"""Building an engine end to end, with constructed tools on PATH: never the real trtllm-build.

They write the files that TensorRT-LLM's builder is known to write, fail, hang, or build something else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from harness.engine import read_back
from harness.engine.build_steps import BuildPlaces, steps
from harness.engine.classic import ClassicEngine
from harness.engine.inspect import differences, engine_values, expected_of_engine, expected_values
from harness.engine.native_repository import Places, classic_repository
from harness.engine.native_templates import find_templates
from harness.engine.spec import NativeSpec
from harness.errors import UsageError
from harness.target import engine_build, kubernetes
from harness.target.engine_build import BuildRequest, build
from harness.target.native_engines import NativePlace, native_start
from harness.target.places import cache_folder
from harness.target.ports import Ports
from harness.target.process import identify

pytestmark = pytest.mark.integration

CONVERT = """
    import sys, os
    out = sys.argv[sys.argv.index("--output_dir") + 1]
    os.makedirs(out)
    print("constructed convert_checkpoint.py, never the real tool")
"""
BUILD = """
    import json, os, sys, time
    def said(name, default=None):
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default
    mode = os.environ.get("BUILD_MODE", "right")
    out = said("--output_dir")
    os.makedirs(out, exist_ok=True)
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\\n")
    print("constructed trtllm-build, never the real tool", flush=True)
    open(os.path.join(out, "rank0.engine"), "wb").write(b"half of it")
    if mode == "fails":
        print("RuntimeError: CUDA out of memory. Tried to allocate 20 GiB", flush=True)
        sys.exit(1)
    if mode == "hangs":
        open(os.environ["CALLS"] + ".pid", "w").write(str(os.getpid()))
        time.sleep(120)
    batch = int(said("--max_batch_size")) // (2 if mode == "other" else 1)
    config = {
        "version": "1.2.1",
        "pretrained_config": {"architecture": "LlamaForCausalLM", "dtype": "bfloat16",
                              "quantization": {"quant_algo": None, "kv_cache_quant_algo": None},
                              "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1}},
        "build_config": {"max_batch_size": batch, "max_num_tokens": int(said("--max_num_tokens")),
                         "max_seq_len": 2048, "plugin_config": {}},
    }
    json.dump(config, open(os.path.join(out, "config.json"), "w"))
"""


def silent(_: str) -> None:
    """A progress callback that says nothing."""


def tool(folder: Path, name: str, source: str) -> None:
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildRequest:
    """A request whose tools are the constructed ones."""
    tools, weights = tmp_path / "tools", tmp_path / "weights"
    (tools / "examples").mkdir(parents=True)
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights")
    tool(tools / "examples", "convert.py", CONVERT)
    tool(tools, "trtllm-build", BUILD)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    spec = ClassicEngine.model_validate(
        {
            "kind": "classic",
            "name": "mine",
            "tensorrt_llm_version": "1.2.1",
            "model": {"source": str(weights)},
            "gpu": {"product": "NVIDIA H100 80GB HBM3", "memory_gib": 80.0},
            "checkpoint": {"made_by": "convert", "script": "examples/convert.py"},
            "build": {"max_batch_size": 64, "max_num_tokens": 4096, "max_seq_len": 2048},
            "serving": {"enable_kv_cache_reuse": False},
        }
    )
    return BuildRequest(spec, expected_values(spec), tmp_path / "cache", str(tools))


def left(request: BuildRequest) -> list[str]:
    """What the cache holds beside its own notes."""
    return sorted(
        path.name
        for path in request.cache.iterdir()
        if path.name not in ("logs", "weights.json") and not path.name.endswith(".lock")
    )


def calls(tmp_path: Path) -> int:
    file = tmp_path / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_build_is_read_back_kept_and_not_repeated(request_: BuildRequest, tmp_path: Path) -> None:
    said: list[str] = []
    place, is_new = build(request_, said.append)
    assert is_new
    assert left(request_) == [place.name]
    assert {file.name for file in place.iterdir()} == {"config.json", "rank0.engine", "built.json"}
    note = json.loads((place / "built.json").read_text())
    assert set(note["steps_s"]) == {"convert", "trtllm-build"}
    assert "reduce_fusion" in note["not_compared"], "the constructed config.json does not tell it"
    assert "max_batch_size" not in note["not_compared"]
    assert any(line.startswith("2 of 2: trtllm-build") for line in said)
    assert build(request_, silent) == (place, False)
    assert calls(tmp_path) == 1


def test_other_weights_under_the_same_name_are_another_engine(request_: BuildRequest, tmp_path: Path) -> None:
    first, _ = build(request_, silent)
    (Path(request_.spec.model.source) / "model.safetensors").write_bytes(b"other weights")
    second, is_new = build(request_, silent)
    assert is_new
    assert first != second
    assert calls(tmp_path) == 2


def test_a_failed_build_leaves_its_log_and_its_reason(request_: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_MODE", "fails")
    with pytest.raises(UsageError, match=r"trtllm-build failed \(exit code 1\)") as caught:
        build(request_, silent)
    assert "CUDA out of memory" in caught.value.message
    assert "too little free memory" in (caught.value.hint or "")
    assert left(request_) == []
    (log,) = (request_.cache / "logs").iterdir()
    assert "never the real tool" in log.read_text()


def test_an_engine_that_is_not_the_spec_s_is_refused(request_: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_MODE", "other")
    with pytest.raises(UsageError, match="max_batch_size is 32, the spec says 64"):
        build(request_, silent)
    assert left(request_) == []


def test_a_missing_tool_is_named_with_the_other_ways(request_: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="there is no python3 on PATH") as caught:
        build(request_, silent)
    assert "--in container" in (caught.value.hint or "")


def test_a_step_that_does_not_end_is_ended(request_: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_MODE", "hangs")
    monkeypatch.setattr(engine_build, "STEP_LIMIT_S", 2.0)
    with pytest.raises(UsageError, match="trtllm-build did not end within"):
        build(request_, silent)
    pid = int(Path(os.environ["CALLS"] + ".pid").read_text())
    assert identify(pid) is None
    assert left(request_) == []


def test_a_build_that_is_killed_leaves_nothing_that_looks_finished_and_no_process(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder itself gets kill -9, in the middle of trtllm-build; the next build clears up and succeeds."""
    program = f"""
        import sys
        from pathlib import Path
        from harness.engine.classic import ClassicEngine
        from harness.target.engine_build import BuildRequest, build
        spec = ClassicEngine.model_validate_json({request_.spec.model_dump_json()!r})
        build(BuildRequest(spec, {{}}, Path({str(request_.cache)!r}), {request_.tensorrt_llm!r}), print)
    """
    variables = {**os.environ, "BUILD_MODE": "hangs", "PYTHONPATH": os.pathsep.join(sys.path)}
    builder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], env=variables, stdout=subprocess.DEVNULL
    )
    pid_file = Path(os.environ["CALLS"] + ".pid")
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(builder.pid, signal.SIGKILL)
    builder.wait(10)
    tool_pid = int(pid_file.read_text())
    while identify(tool_pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert identify(tool_pid) is None
    key = engine_build.key_of(request_.spec, request_.cache, silent)
    assert engine_build.find_built(request_.cache, key) is None
    place, is_new = build(request_, silent)
    assert is_new
    assert left(request_) == [place.name]


def test_a_run_starts_the_engine_that_was_built(request_: BuildRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(request_.cache))
    place, _ = build(dataclasses.replace(request_, cache=cache_folder() / "trtllm"), silent)
    tool(Path(request_.tensorrt_llm), "tritonserver", "raise SystemExit('constructed, never the real one')")
    root = request_.cache / "server"
    root.mkdir()
    rendered: list[str] = []

    def render(spec: NativeSpec, engine_dir: str) -> dict[str, bytes]:
        assert isinstance(spec, ClassicEngine)
        rendered.append(engine_dir)
        return classic_repository(spec, Places(engine_dir, "/t"), find_templates(spec.kind, None))

    start = native_start(request_.spec, NativePlace("process", root, Ports(1, 2, 3)), render, silent)
    assert rendered == [str(place)]
    configuration = (root / "repository" / "tensorrt_llm" / "config.pbtxt").read_text()
    assert str(place) in configuration
    assert start.command[0].endswith("tritonserver")


@pytest.mark.parametrize(
    ("mode", "said"),
    [("right", ""), ("other", "max_batch_size is 32, the spec says 64"), ("fails", "CUDA out of memory")],
)
def test_the_job_of_a_cluster_reads_back_what_it_built(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, said: str
) -> None:
    """Its script, run by the bash of this machine with the constructed tools."""
    monkeypatch.setenv("BUILD_MODE", mode)
    spec, root = request_.spec, tmp_path / "claim"
    root.mkdir()
    places = BuildPlaces(request_.tensorrt_llm, spec.model.source, str(root / "checkpoint"), str(root / "e.partial"))
    deployed = kubernetes.Deployed("build-mine", "image", [], gpus=1)
    (job,) = kubernetes.build_job("build-mine", "image", steps(spec, places), deployed, read_back.script(spec))
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == (mode == "right"), done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert (root / "e").exists() == (mode == "right"), "what is not the spec's engine never gets its name"


def test_the_script_and_the_harness_find_the_same_differences(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, folder = request_.spec, tmp_path / "engine"
    folder.mkdir()
    (folder / "rank0.engine").write_bytes(b"-")
    text = compile(read_back.script(spec), "read back", "exec")
    monkeypatch.setattr(sys, "argv", ["-", str(folder)])
    for name, place, allowed in read_back.checks(spec):
        config: dict[str, Any] = {"build_config": {"plugin_config": {}}, "pretrained_config": {"mapping": {}}}
        part = config
        for key in place:
            part = part.setdefault(key, {})
        for value in (allowed[0], "something else", 987654):
            part[name] = value
            (folder / "config.json").write_text(json.dumps(config))
            with pytest.raises(SystemExit) as ended:
                exec(text, {})
            same = not differences({name: expected_of_engine(spec)[name]}, engine_values(config))
            assert (not ended.value.code) == same, (name, value)
