"""The manifests: parsed back from their YAML, and what a cluster would do with them."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import yaml

from harness.engine.build_steps import Step
from harness.target.kubernetes import Deployed, build_job, serving, to_yaml

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


def test_a_job_stops_at_the_first_step_that_fails_and_renames_last(tmp_path: Path) -> None:
    """Its script, run by the bash of this machine."""
    made, partial = tmp_path / "engine", tmp_path / "engine.partial"

    def run(second: str, read_back: str = "import sys; assert sys.argv[1:]") -> int:
        todo = [Step("one", ["mkdir", "-p", str(partial)], "one"), Step("two", second.split(), str(partial))]
        job = parsed(build_job("build-x", "image", todo, DEPLOYED, read_back))["Job"]
        assert job["spec"]["backoffLimit"] == 0
        pod = job["spec"]["template"]["spec"]
        assert pod["restartPolicy"] == "Never"
        return subprocess.run(pod["containers"][0]["command"], capture_output=True, timeout=20, check=False).returncode

    assert run("false --here") != 0
    assert not made.exists()
    assert run("true", "raise SystemExit('another engine')") != 0
    assert not made.exists(), "what was built is not what was wanted"
    assert run("true") == 0
    assert made.is_dir()
    assert not partial.exists()
