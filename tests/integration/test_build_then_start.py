"""From `harness engine build` to a measured run: what was built is what a scenario's target finds, starts and measures.

The server is the real tritonserver with the repository as it would be deployed: preprocessing, ensemble, BLS,
postprocessing. Constructed are the tools that build and TensorRT-LLM's own backend: its stand-in loads only from the
folder that the rendered configuration names, and only what the tools have built.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from harness.cli.engine_commands import engine
from harness.engine.load import load_engine
from harness.errors import TargetNotReady
from harness.records.store import RunFolder
from harness.scenario.target import EngineTarget
from harness.target import tritonserver
from harness.target.launch import prepare_parts
from harness.target.opened import open_target
from harness.target.server_environment import prepare
from harness.target.tritonserver import ServerFolder

pytestmark = pytest.mark.integration

SPEC = """\
kind: classic
name: built
tensorrt_llm_version: "1.2.1"
model: {{source: {weights}}}
gpu: {{product: NVIDIA H100 80GB HBM3, memory_gib: 80}}
checkpoint: {{made_by: convert, script: convert.py}}
build: {{max_batch_size: 8, max_num_tokens: 4096, max_seq_len: 2048}}
serving: {{enable_kv_cache_reuse: false, preprocessing_instance_count: 1, postprocessing_instance_count: 1,
          bls_instance_count: 1}}
"""
SCENARIO = """\
version: 1
name: built
target: {{engine: "{spec}", on: process, model: ensemble}}
workload: {{input_tokens: 20, output_tokens: 6}}
load: {{kind: closed_loop, concurrency: 1}}
phases: {{warm_up_s: 0.3, window_s: 0.5}}
"""
CONVERT = """
    import os, sys
    os.makedirs(sys.argv[sys.argv.index("--output_dir") + 1])
"""
BUILD = """
    import json, os, sys
    said = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    os.makedirs(said["--output_dir"])
    limits = {name: int(said["--" + name]) for name in ("max_batch_size", "max_num_tokens", "max_seq_len")}
    config = {
        "version": "1.2.1",
        "pretrained_config": {"dtype": "bfloat16", "quantization": {}, "mapping": {"world_size": 1, "tp_size": 1}},
        "build_config": {**limits, "plugin_config": {}},
    }
    json.dump(config, open(os.path.join(said["--output_dir"], "config.json"), "w"))
    open(os.path.join(said["--output_dir"], "rank0.engine"), "w").write("constructed by " + sys.argv[0])
"""
# In place of TensorRT-LLM's backend: its tensors, and a number for each token.
STAND_IN = """
import json, os
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        folder = json.loads(args["model_config"])["parameters"]["gpt_model_path"]["string_value"]
        with open(os.path.join(folder, "rank0.engine")) as rank:
            if not rank.read().startswith("constructed by "):
                raise RuntimeError("The engine plan file is generated on an incompatible device")

    def execute(self, requests):
        for request in requests:
            def given(name, default):
                tensor = pb_utils.get_input_tensor_by_name(request, name)
                return default if tensor is None else tensor.as_numpy().reshape(-1)
            prompt, count = len(given("input_ids", [])), int(given("request_output_len", [1])[0])
            sender = request.get_response_sender()
            for number in range(count):
                flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if number == count - 1 else 0
                sender.send(pb_utils.InferenceResponse([
                    pb_utils.Tensor("output_ids", np.array([[[5 + number]]], np.int32)),
                    pb_utils.Tensor("sequence_length", np.array([[1]], np.int32)),
                    pb_utils.Tensor("num_input_tokens", np.array([[prompt]], np.int32)),
                    pb_utils.Tensor("num_output_tokens", np.array([[1]], np.int32)),
                ]), flags=flags)
"""
TRITONSERVER = """
    import os, pathlib, sys
    (repository,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--model-repository=")]
    engine = pathlib.Path(repository) / "tensorrt_llm"
    config = engine / "config.pbtxt"
    config.write_text(config.read_text().replace('backend: "tensorrtllm"', 'backend: "python"'))
    (engine / "1").mkdir(exist_ok=True)
    (engine / "1" / "model.py").write_text({stand_in!r})
    os.environ["PATH"] = {path!r} + ":" + os.environ["PATH"]
    os.environ["LD_LIBRARY_PATH"] = {libraries!r}
    more = ["--backend-directory=" + {backends!r}, "--allow-gpu-metrics=false"]
    os.execv({binary!r}, [{binary!r}, *sys.argv[1:], *more])
"""
# `docker run` as far as it matters here: what it publishes is where the program inside listens.
DOCKER = """
    import os, sys
    if sys.argv[1] != "run":
        sys.exit()
    words = sys.argv[2:]
    published = [words[at + 1].split(":") for at, word in enumerate(words) if word == "--publish"]
    mounted = [words[at + 1].split(":")[0] for at, word in enumerate(words) if word == "--volume"]
    open({mounted!r}, "w").write("\\n".join(mounted))
    inner = words[words.index("/opt/tritonserver/bin/tritonserver") + 1 :]
    for address, outside, inside in published:
        inner = [word.replace("port=" + inside, "port=" + outside) for word in inner]
    inner = [word.replace("address=0.0.0.0", "address=127.0.0.1") for word in inner]
    os.execvp("tritonserver", ["tritonserver", *inner])
"""


def silent(_: str) -> None:
    """A progress callback that says nothing."""


def program(folder: Path, name: str, source: str) -> None:
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def build(here: Path) -> Path:
    """The folder that `harness engine build` says it has built."""
    done = CliRunner().invoke(engine, ["build", "built.yaml", "--tensorrt-llm", str(here)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("built: ")]
    return Path(line.removeprefix("built: "))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the spec, the constructed tools, and the real Triton under the name `tritonserver`."""
    root = tmp_path_factory.mktemp("build-then-start")
    environment, folder = prepare(silent), ServerFolder(root / "server")
    folder.root.mkdir()
    tritonserver.lay_out(folder, environment, {})
    source = TRITONSERVER.format(
        stand_in=STAND_IN,
        path=str(environment.root / "bin"),
        libraries=str(folder.libraries),
        backends=str(folder.backends),
        binary=str(tritonserver.binary(environment)),
    )
    program(root, "tritonserver", source)
    program(root, "docker", DOCKER.format(mounted=str(root / "mounted")))
    program(root, "trtllm-build", BUILD)
    program(root, "convert.py", CONVERT)
    (root / "weights").symlink_to(prepare_parts(load_engine("cpu-tiny"), silent).model)
    (root / "built.yaml").write_text(SPEC.format(weights="./weights"))
    return root


@pytest.fixture
def here(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bench, with nothing built yet; the server's environment stays where it is."""
    monkeypatch.chdir(bench)
    monkeypatch.setenv("PATH", f"{bench}:{os.environ['PATH']}")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return bench


def test_what_was_built_is_found_started_and_measured(here: Path, tmp_path: Path) -> None:
    place = build(here)
    assert place.parent == tmp_path / "cache" / "trtllm"
    (here / "scenario.yaml").write_text(SCENARIO.format(spec=here / "built.yaml"))
    words = ["run", "scenario.yaml", "--allow-invalid", "--runs", str(tmp_path / "runs")]
    command = [sys.executable, "-m", "harness.cli.main", *words]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    (deployment,) = RunFolder(run).manifest().deployments
    assert deployment.kind == "process"
    assert deployment.gpu_count == 1
    assert ("gpu_product" in deployment.not_available) == (deployment.gpu_product is None)
    configuration = deployment.server["configurations"]["tensorrt_llm"]
    assert configuration["parameters"]["gpt_model_path"]["string_value"] == str(place)
    rows = pd.read_parquet(run / "requests.parquet")
    window = rows[rows["phase"] == "window"]
    assert len(window) > 0
    assert set(window["outcome"]) == {"ok"}
    assert set(window["input_tokens_server"]) == {20}
    assert set(window["output_tokens_server"]) == {6}


def test_a_container_sees_what_was_built_and_a_damaged_engine_is_the_reason_that_is_told(
    here: Path, tmp_path: Path
) -> None:
    place = build(here)
    rank = place / "rank0.engine"
    rank.write_text("x" * rank.stat().st_size)  # what config.json and sizes cannot tell, only the server can
    target = EngineTarget.model_validate({"engine": str(here / "built.yaml"), "on": "container", "model": "ensemble"})
    with (
        pytest.raises(TargetNotReady, match="generated on an incompatible device") as caught,
        open_target(target, progress=silent, log=tmp_path / "log"),
    ):
        pass
    assert "harness engine build" in (caught.value.hint or "")
    assert {str(place), str((here / "weights").resolve())} <= set((here / "mounted").read_text().splitlines())
