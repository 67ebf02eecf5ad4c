"""The manifests: parsed back from their YAML, and what a cluster would do with them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.cli.engine_commands import engine
from harness.target import kubernetes
from harness.target.kubernetes import Deployed, serving, to_yaml

DEPLOYED = Deployed(
    name="llama-8b",
    image="nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3",
    command=["tritonserver", "--model-repository=/models/repository"],
    gpus=2,
    gpu_product="NVIDIA H100 80GB HBM3",
    claim="llama-8b-models",
    variables={"LLM_CONFIG_PATH": "/models/model.yaml"},
    secret="s3-credentials",
)


def parsed(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(to_yaml(manifests))}


def test_the_service_reaches_the_pods_on_every_port_they_have() -> None:
    found = parsed(serving(DEPLOYED))
    pod = found["Deployment"]["spec"]["template"]
    (server,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"].items() <= labels.items()
    assert found["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    offered = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert offered == {"http": 8000, "grpc": 8001, "metrics": 8002}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} == set(offered)


def test_a_slow_start_is_no_failure_and_a_stop_lets_requests_finish() -> None:
    pod = parsed(serving(DEPLOYED))["Deployment"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    startup, readiness = server["startupProbe"], server["readinessProbe"]
    assert startup["httpGet"] == readiness["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    assert startup["periodSeconds"] * startup["failureThreshold"] == DEPLOYED.start_limit_s
    drain = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    seen_gone = readiness["periodSeconds"] * readiness["failureThreshold"]
    assert drain >= seen_gone
    assert pod["terminationGracePeriodSeconds"] > drain


def test_a_pod_gets_its_gpus_its_models_its_secret_and_room_to_share_memory() -> None:
    found = parsed(serving(DEPLOYED))
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert server["resources"]["limits"] == {"nvidia.com/gpu": 2}
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert {mount["name"] for mount in server["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    (claimed,) = [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert claimed["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]
    assert server["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]


def test_without_a_claim_there_is_none_and_nothing_mounts_one() -> None:
    found = parsed(serving(dataclasses.replace(DEPLOYED, claim=None, gpus=0)))
    assert set(found) == {"Deployment", "Service"}
    (server,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "resources" not in server


# --- the job that builds: its script, as it is printed, run by the bash of this machine -------------------------------

SPEC = """\
kind: classic
name: mine
tensorrt_llm_version: "1.2.1"
model: {{source: {weights}}}
gpu: {{product: NVIDIA H100 80GB HBM3, memory_gib: 80}}
checkpoint: {{made_by: convert, script: convert.py}}
build: {{max_batch_size: 64, max_num_tokens: 4096, max_seq_len: 2048}}
serving: {{enable_kv_cache_reuse: false}}
"""
CONVERT = """\
import os, sys
os.makedirs(sys.argv[sys.argv.index("--output_dir") + 1])
"""
# A constructed `trtllm-build`, never the real one: the files that TensorRT-LLM's builder is known to write.
BUILD = """\
import json, os, sys
said = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out, change = said["--output_dir"], json.loads(os.environ["CHANGE"])
os.makedirs(out)
limits = {name: int(said[f"--{name}"]) for name in ("max_batch_size", "max_num_tokens", "max_seq_len")}
config = {
    "version": "1.2.1",
    "pretrained_config": {"dtype": "bfloat16", "quantization": {}, "mapping": {"world_size": 1, "tp_size": 1}},
    "build_config": {**limits, "plugin_config": {}},
}
config["build_config"].update(change.get("build_config", {}))
for name in change.get("lost", []):
    del config["build_config"][name]
config["version"] = change.get("version", "1.2.1")
with open(os.path.join(out, "rank0.engine"), "wb") as rank:
    rank.write(change.get("rank", "engine").encode())
with open(os.path.join(out, "config.json"), "w") as file:
    file.write(change.get("text", json.dumps(config)))
sys.exit(change.get("status", 0))
"""


@dataclasses.dataclass(frozen=True)
class Claim:
    """What the job sees as the mounted claim, and the job as the command prints it."""

    root: Path
    spec: Path
    printed: str

    @property
    def engine(self) -> Path:
        return self.root / "mine" / "engine"

    def run(self, **change: Any) -> subprocess.CompletedProcess[str]:
        """The job's own command, as a cluster would start it; `change`: what the constructed builder does otherwise."""
        (job,) = [each for each in yaml.safe_load_all(self.printed) if each["kind"] == "Job"]
        command = job["spec"]["template"]["spec"]["containers"][0]["command"]
        variables = {"PATH": f"{self.root / 'tools'}:{os.environ['PATH']}", "CHANGE": json.dumps(change)}
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=20, check=False)

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.root / "mine").iterdir())


@pytest.fixture
def claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Claim:
    monkeypatch.setattr(kubernetes, "MOUNT", str(tmp_path))
    for folder in ("weights", "tools", "mine"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tools" / "convert.py").write_text(CONVERT)
    builder = tmp_path / "tools" / "trtllm-build"
    builder.write_text(f"#!{sys.executable}\n{BUILD}")
    builder.chmod(0o755)
    spec = tmp_path / "mine.yaml"
    spec.write_text(SPEC.format(weights=tmp_path / "weights"))
    words = ["build", str(spec), "--in", "kubernetes", "--tensorrt-llm", str(tmp_path / "tools")]
    done = CliRunner().invoke(engine, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Claim(tmp_path, spec, done.output)


def test_a_job_gives_the_engine_its_name_once_it_is_what_the_spec_says(claim: Claim) -> None:
    done = claim.run()
    assert done.returncode == 0, done.stderr
    assert "step: read back\nread back: it is what the spec says" in done.stdout
    assert claim.left() == ["engine"]
    assert {file.name for file in claim.engine.iterdir()} == {"config.json", "rank0.engine", "built.json"}
    assert f"harness engine inspect {claim.engine} --spec {claim.spec}" in claim.printed
    seen = CliRunner().invoke(engine, ["inspect", str(claim.engine), "--spec", str(claim.spec)])
    assert seen.output.count("differs: ") == 0, seen.output


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"build_config": {"max_batch_size": 32}}, "max_batch_size is 32, the spec says 64"),
        ({"version": "1.1.0"}, "version is 1.1.0, the spec says 1.2.1"),
        ({"lost": ["max_seq_len"]}, "limits: config.json has no max_seq_len"),
        ({"text": "{"}, "config.json: Expecting property name"),
        ({"text": '{"architectures": []}'}, "this is no TensorRT-LLM engine"),
        ({"text": '{"build_config": null, "pretrained_config": {}}'}, "it is not laid out as an engine's"),
        ({"rank": ""}, "ranks: rank0.engine is empty"),
    ],
)
def test_a_job_that_built_something_else_fails_with_the_reason_and_leaves_no_engine(
    claim: Claim, change: dict[str, Any], reason: str
) -> None:
    done = claim.run(**change)
    assert done.returncode == 1
    assert reason in done.stderr
    assert claim.left() == []


def test_a_job_whose_builder_fails_at_its_end_leaves_no_engine_and_the_one_that_was_there(claim: Claim) -> None:
    assert claim.run(status=3).returncode == 3
    assert claim.left() == []
    assert claim.run().returncode == 0
    before = (claim.engine / "built.json").stat().st_ino
    assert claim.run(status=3).returncode == 3
    assert claim.left() == ["engine"]
    assert (claim.engine / "built.json").stat().st_ino == before


def test_a_job_runs_once_and_its_script_can_be_read_and_is_changed_by_no_cluster(claim: Claim) -> None:
    (job,) = [each for each in yaml.safe_load_all(claim.printed) if each["kind"] == "Job"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert "- |\n" in claim.printed, "a block, line by line"
    script = job["spec"]["template"]["spec"]["containers"][0]["command"][2]
    assert script.isascii()
    assert "$(" not in script, "Kubernetes would put a variable there"
    assert "$$" not in script, "Kubernetes would make one of two"
