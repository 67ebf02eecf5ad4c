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

import pytest

from harness.engine.classic import ClassicEngine
from harness.engine.inspect import expected_values
from harness.errors import UsageError
from harness.target import engine_build
from harness.target.engine_build import BuildRequest, build
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
    if mode == "killed":
        os.kill(os.getpid(), 9)
    if mode == "hangs":
        open(os.environ["CALLS"] + ".pid", "w").write(str(os.getpid()))
        for _ in range(1200):
            if os.path.exists(os.environ["CALLS"] + ".go"):
                break
            time.sleep(0.1)
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


def test_a_builder_that_the_kernel_kills_says_so_with_the_likely_cause(
    request_: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_MODE", "killed")
    with pytest.raises(UsageError, match=r"trtllm-build failed \(signal 9 \(SIGKILL\)\)") as caught:
        build(request_, silent)
    assert "host's memory" in (caught.value.hint or "")
    assert left(request_) == []


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


def another_builder(request: BuildRequest) -> tuple[subprocess.Popen[bytes], int]:
    """A process that builds the same and is now in the middle of trtllm-build, which hangs; and the pid of that."""
    program = f"""
        import sys
        from pathlib import Path
        from harness.engine.classic import ClassicEngine
        from harness.target.engine_build import BuildRequest, build
        spec = ClassicEngine.model_validate_json({request.spec.model_dump_json()!r})
        image, program = {request.image!r}, {request.program!r}
        build(BuildRequest(spec, {{}}, Path({str(request.cache)!r}), {request.tensorrt_llm!r}, image, program), print)
    """
    variables = {**os.environ, "BUILD_MODE": "hangs", "PYTHONPATH": os.pathsep.join(sys.path)}
    builder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], env=variables, stdout=subprocess.DEVNULL
    )
    pid_file = Path(os.environ["CALLS"] + ".pid")
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return builder, int(pid_file.read_text())


def test_a_build_that_is_killed_leaves_nothing_that_looks_finished_and_the_one_that_waits_goes_on(
    request_: BuildRequest, tmp_path: Path
) -> None:
    """The builder itself gets kill -9, in the middle of trtllm-build, while another waits for it."""
    builder, tool_pid = another_builder(request_)
    key = engine_build.key_of(request_.spec, request_.cache, silent)
    said: list[str] = []

    def kill_it_once_it_is_waited_for(line: str) -> None:
        said.append(line)
        if "another process is making the same thing" in line:
            assert engine_build.find_built(request_.cache, key) is None
            builder.kill()
            builder.wait(10)

    place, is_new = build(request_, kill_it_once_it_is_waited_for)
    assert is_new
    assert builder.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while identify(tool_pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert identify(tool_pid) is None
    assert left(request_) == [place.name]


def test_a_container_that_a_killed_build_left_is_removed_by_the_next(request_: BuildRequest, tmp_path: Path) -> None:
    """A constructed `docker`: it runs what it is given here, and notes how it is called."""
    docker = """
        import os, sys
        with open(os.environ["CALLS"] + ".docker", "a") as calls:
            calls.write(" ".join(sys.argv[1:]) + "\\n")
        if sys.argv[1] == "run":
            os.execvp(sys.argv[sys.argv.index("image") + 1], sys.argv[sys.argv.index("image") + 1 :])
    """
    tool(tmp_path / "tools", "docker", docker)
    inside = dataclasses.replace(request_, image="image", program="docker")
    builder, _ = another_builder(inside)
    builder.kill()
    builder.wait(10)
    run = (tmp_path / "calls.docker").read_text().splitlines()[-1].split()
    assert run[0] == "run"
    build(request_, silent)
    last = (tmp_path / "calls.docker").read_text().splitlines()[-1]
    assert last == f"rm --force {run[run.index('--name') + 1]}"


def test_two_that_build_the_same_at_once_build_it_once(request_: BuildRequest, tmp_path: Path) -> None:
    """The other one is let go on once we wait for it: its engine is ours."""
    builder, _ = another_builder(request_)

    def let_it_go_on(line: str) -> None:
        if "another process is making the same thing" in line:
            (tmp_path / "calls.go").touch()

    place, is_new = build(request_, let_it_go_on)
    assert not is_new
    assert builder.wait(10) == 0
    assert calls(tmp_path) == 1
    assert left(request_) == [place.name]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", None, "No such file"),
        ("config.json", "{}", "no TensorRT-LLM engine"),
        ("config.json", '"max_batch_size": 32', "changed since it was built: max_batch_size"),
        ("rank0.engine", None, "changed since it was built: engine_bytes, ranks"),
        ("rank0.engine", "half", "changed since it was built: engine_bytes"),
        ("built.json", "", "Expecting value"),
    ],
)
def test_an_engine_that_was_damaged_later_is_not_used_but_built_again(
    request_: BuildRequest, file: str, content: str | None, reason: str
) -> None:
    place, _ = build(request_, silent)
    if content is None:
        (place / file).unlink()
    elif content.startswith('"'):
        (place / file).write_text((place / file).read_text().replace('"max_batch_size": 64', content))
    else:
        (place / file).write_text(content)
    said: list[str] = []
    again, is_new = build(request_, said.append)
    assert (again, is_new) == (place, True)
    assert reason in next(line for line in said if "damaged" in line)
    assert engine_build.why_damaged(place) is None
    assert left(request_) == [place.name]
