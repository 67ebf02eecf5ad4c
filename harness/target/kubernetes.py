"""Kubernetes manifests, as plain objects: a server with its rendered repository, and a job that builds an engine.

Rendered, not applied: nothing here talks to a cluster, and no manifest of these has run on one. Rank 0 of an engine
over several GPUs starts the others itself, so one pod holds all GPUs of an instance.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml

from harness.engine.build_steps import Step
from harness.target.native_commands import INSIDE, shown

Manifest = dict[str, Any]
GPU = "nvidia.com/gpu"
PRODUCT_LABEL = "nvidia.com/gpu.product"  # set by NVIDIA's GPU feature discovery
MOUNT = "/models"
DRAIN_S = 10  # between the pod's leaving the service and Triton's being told to stop
LEAVE_S = 120  # requests in flight may take so long
END_OF_PROGRAM = "END_OF_PROGRAM"


@dataclass(frozen=True)
class Deployed:
    """What to run, in the words of a cluster."""

    name: str
    image: str
    command: Sequence[str]
    gpus: int  # of one pod; 0: none
    gpu_product: str | None = None
    claim: str | None = None  # PersistentVolumeClaim with repository and engines, mounted at MOUNT
    storage_gib: int = 200
    replicas: int = 1
    start_limit_s: int = 1800
    variables: Mapping[str, str] = field(default_factory=dict)  # secrets are none: see `secret`
    secret: str | None = None  # Secret whose keys become variables (AWS_…, HF_TOKEN)
    ready_path: str = "/v2/health/ready"
    live_path: str = "/v2/health/live"
    ports: Mapping[str, int] = field(
        default_factory=lambda: {"http": INSIDE.http, "grpc": INSIDE.grpc, "metrics": INSIDE.metrics}
    )


def serving(deployed: Deployed) -> list[Manifest]:
    """The claim (when there is one), the deployment and the service."""
    claims = [] if deployed.claim is None else [_claim(deployed.claim, deployed.storage_gib)]
    return [*claims, _deployment(deployed), _service(deployed)]


@dataclass(frozen=True)
class JobPlaces:
    """Folders of a build job, on its claim. The last step of the build makes `unfinished`."""

    checkpoint: str  # removed at the end, however it ends
    unfinished: str  # likewise
    engine: str  # the folder of the engine: there only once it was read back and is what the spec says


def build_script(steps: Sequence[Step], places: JobPlaces, asked: Mapping[str, Sequence[Any]]) -> str:
    """Run the steps, stop at the first that fails, judge what was made, and only then give it its name.

    `asked`: see `engine.inspect.asked_of_a_job`. An engine that is there already stays until another takes its place.
    """
    swept = f"rm -rf {shlex.quote(places.checkpoint)} {shlex.quote(places.unfinished)}"
    unfinished, engine = shlex.quote(places.unfinished), shlex.quote(places.engine)
    judge = resources.files("harness.engine").joinpath("engine_config.py").read_text()
    return "\n".join(
        [
            "set -euo pipefail",
            f"trap {shlex.quote(swept)} EXIT",
            swept,
            *(f"echo {shlex.quote(f'step: {step.name}')}\n{shown(step.command)}" for step in steps),
            "echo 'step: read back'",
            f"python3 - {unfinished} {shlex.quote(json.dumps(asked))} <<'{END_OF_PROGRAM}'",
            f"{judge}{END_OF_PROGRAM}",
            f"rm -rf {engine}",
            f"mv {unfinished} {engine}",
            f"echo {shlex.quote(f'the engine: {places.engine}')}",
            "",
        ]
    )


def build_job(name: str, script: str, deployed: Deployed) -> list[Manifest]:
    """A job that runs the script of a build, once."""
    pod = _pod(deployed, {"command": ["/bin/bash", "-c", script], "image": deployed.image, "name": "build"})
    pod["restartPolicy"] = "Never"
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": _labels(name)},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": _labels(name)}, "spec": pod}},
    }
    claims = [] if deployed.claim is None else [_claim(deployed.claim, deployed.storage_gib)]
    return [*claims, job]


def to_yaml(manifests: Sequence[Manifest]) -> str:
    """One YAML stream for `kubectl apply -f -`."""
    return yaml.dump_all(manifests, Dumper=_Readable, sort_keys=False, width=100)


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as a block, so that a script can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def _deployment(deployed: Deployed) -> Manifest:
    health = {"httpGet": {"path": deployed.ready_path, "port": "http"}}
    period_s = 5
    server = {
        "name": "server",
        "image": deployed.image,
        "command": list(deployed.command),
        "ports": [{"name": name, "containerPort": port} for name, port in deployed.ports.items()],
        # Loading takes minutes: until it is over, neither of the other probes counts.
        "startupProbe": {**health, "periodSeconds": period_s, "failureThreshold": deployed.start_limit_s // period_s},
        "readinessProbe": {**health, "periodSeconds": period_s, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": {"path": deployed.live_path, "port": "http"},
            "periodSeconds": 10,
            "failureThreshold": 6,
            "timeoutSeconds": 5,
        },
        # The pod leaves the service's endpoints while this sleeps; only then Triton is told to stop.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN_S)]}}},
    }
    pod = _pod(deployed, server)
    pod["terminationGracePeriodSeconds"] = DRAIN_S + LEAVE_S
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": deployed.name, "labels": _labels(deployed.name)},
        "spec": {
            "replicas": deployed.replicas,
            "selector": {"matchLabels": _labels(deployed.name)},
            # GPUs are rarely spare: the old pod goes first.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": _labels(deployed.name)}, "spec": pod},
        },
    }


def _service(deployed: Deployed) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": deployed.name, "labels": _labels(deployed.name)},
        "spec": {
            "selector": _labels(deployed.name),
            "ports": [{"name": name, "port": port, "targetPort": name} for name, port in deployed.ports.items()],
        },
    }


def _claim(name: str, storage_gib: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": f"{storage_gib}Gi"}}},
    }


def _pod(deployed: Deployed, container: Manifest) -> Manifest:
    """Mounts, shared memory, GPUs, variables."""
    mounts = [{"name": "shared-memory", "mountPath": "/dev/shm"}]
    volumes: list[Manifest] = [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}]
    if deployed.claim is not None:
        mounts.append({"name": "models", "mountPath": MOUNT})
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": deployed.claim}})
    container = {**container, "volumeMounts": mounts}
    if deployed.gpus:
        container["resources"] = {"limits": {GPU: deployed.gpus}}
    if deployed.variables:
        container["env"] = [{"name": name, "value": value} for name, value in sorted(deployed.variables.items())]
    if deployed.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": deployed.secret}}]
    pod: Manifest = {"containers": [container], "volumes": volumes}
    if deployed.gpu_product is not None:
        pod["nodeSelector"] = {PRODUCT_LABEL: deployed.gpu_product.replace(" ", "-")}
    return pod


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "harness"}
