"""The identity of a measurement: every field by which two of them are, or are not, of the same kind.

Read from the manifest and its scenario, for one point on one deployment. Groups of names: `hardware` (what computes),
`engine` and `setting` (what serves), `endpoint` (what was asked, how), `scenario` (the load, the work, the objectives),
`metrics` and `harness`; `gpu`, `host`, `server`, `target` and `network` only warn (`comparable.WARNS_ONLY`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.gate.comparable import Identity
from harness.metrics.catalog import METRICS_VERSION
from harness.records.manifest import Deployment, Manifest, Point
from harness.scenario.load import ClosedLoop
from harness.scenario.objective import Objective
from harness.scenario.schema import Scenario
from harness.scenario.yaml_tree import NotYaml, parse

NONE = "none"  # a setting that is known to be absent; unknown is None

LOCAL = re.compile(r"^(127\.\d+\.\d+\.\d+|localhost|\[::1\]|0\.0\.0\.0):")
GPU_STATE = ("vbios", "power_limit_w", "ecc_enabled", "persistence_enabled", "sm_clock_max_hz")
HARDWARE = ("cpu_model", "cpu_affinity", "memory_bytes", "machine")
SOFTWARE = ("kernel", "c_library", "python", "nvidia_driver", "cuda")

Fields = Iterator[tuple[str, Any]]


def identity_of(
    manifest: Manifest, scenario: Scenario, point: Point, *, metrics_version: int = METRICS_VERSION
) -> Identity:
    """The identity of this point. `scenario`: as read back from the manifest; `metrics_version`: of the definitions
    with which its values were computed."""
    deployment = manifest.deployment(point.deployment_id)
    fields = {
        **dict(_hardware(manifest, deployment)),
        **dict(_engine(deployment)),
        **dict(_endpoint(deployment, point)),
        **dict(_scenario(manifest, scenario, point)),
        "metrics.version": metrics_version,
        "metrics.version_of_run": manifest.metrics_version,
        "harness.major_version": manifest.harness_version.partition(".")[0],
        "harness.version": manifest.harness_version,
        **dict(_surroundings(manifest, scenario, deployment)),
    }
    return Identity(fields)


def runs_here(deployment: Deployment) -> bool:
    """Whether the server ran on the load host, so that its hardware is the host's."""
    return deployment.kind != "attach" or bool(LOCAL.match(deployment.url))


def computes_on_cpu(manifest: Manifest, deployment: Deployment) -> bool:
    """Whether the tokens were computed by this host's processor, as far as can be told."""
    return deployment.gpu_count is None and runs_here(deployment) and not manifest.gpus


def _hardware(manifest: Manifest, deployment: Deployment) -> Fields:
    here, stated = runs_here(deployment), deployment.gpu_count is not None
    listed = manifest.gpus if here else []
    first: Mapping[str, Any] = listed[0] if listed else {}
    absent = NONE if here and not stated else None
    yield "hardware.gpu_product", deployment.gpu_product or first.get("product", absent)
    yield "hardware.gpu_count", deployment.gpu_count if stated else len(listed) if here else None
    memory = first.get("memory_bytes")
    yield "hardware.gpu_memory_bytes", memory if deployment.gpu_memory_bytes is None else deployment.gpu_memory_bytes
    yield "hardware.gpu_mig_enabled", first.get("mig_enabled")
    if computes_on_cpu(manifest, deployment):
        yield "hardware.cpu_model", manifest.host.get("cpu_model")
        yield "hardware.cpu_cores", manifest.host.get("cpu_affinity", manifest.host.get("cpu_count"))


def _engine(deployment: Deployment) -> Fields:
    yield "engine.hash", deployment.engine_hash
    yield "engine.weights_hash", deployment.weights_hash
    for name, value in _spec(deployment).items():
        yield from _leaves(f"engine.{name}", value)
    if deployment.engine_hash is None:
        yield "engine.configuration_hash", _configuration_hash(deployment.server.get("configurations"))
    for name, value in sorted(deployment.settings.items()):
        yield f"setting.{name}", value
    yield "tokenizer.hash", deployment.tokenizer_hash


def _spec(deployment: Deployment) -> dict[str, Any]:
    """The engine's YAML without what cannot change a measurement, and without its settings, which stand apart."""
    try:
        tree, _ = parse(deployment.engine_spec or "{}")
    except NotYaml:
        return {}
    spec = tree.plain()
    left_out = ("name", "description", "settings")
    return {key: value for key, value in spec.items() if key not in left_out} if isinstance(spec, dict) else {}


def _configuration_hash(configurations: Any) -> str | None:
    """16 hex digits over what the server said of its models, without folders: they differ from start to start."""
    if not configurations:
        return None
    canonical = json.dumps(_without_folders(configurations), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return value.rpartition("/")[2] if isinstance(value, str) else value


def _endpoint(deployment: Deployment, point: Point) -> Fields:
    yield "endpoint.protocol", deployment.protocol
    yield "endpoint.model", deployment.model
    yield "endpoint.streamed", point.streamed
    yield "endpoint.token_counts_from", deployment.token_count_source


def _scenario(manifest: Manifest, scenario: Scenario, point: Point) -> Fields:
    workload = next((each for each in scenario.workload if each.name == point.workload), None)
    if workload is not None:
        parts = workload.model_dump(mode="json")["parts"]
        yield from _leaves("scenario.workload", _with_digests({"parts": parts}, manifest.files))
    yield from _leaves("scenario.load", _with_digests(_load(scenario, point), manifest.files))
    yield "scenario.objectives", sorted(_objective(objective) for objective in scenario.objectives)
    yield "scenario.seed", manifest.seed
    phases = scenario.phases
    yield "scenario.warm_up_s", phases.warm_up_s
    yield (
        "scenario.window",
        (f"{phases.window_requests} requests" if phases.window_requests else f"{phases.window_length_s:g} s"),
    )
    yield "scenario.drain_limit_s", scenario.drain_limit_s
    yield "scenario.timeout_s", scenario.request.timeout_s
    yield "scenario.repetitions", point.repetitions
    yield "scenario.driver", scenario.driver


def _load(scenario: Scenario, point: Point) -> dict[str, Any]:
    """The load of this point alone: where the scenario lists levels, its own."""
    if isinstance(scenario.load, ClosedLoop):
        return {"kind": scenario.load.kind, "concurrency": point.concurrency}
    load: dict[str, Any] = scenario.load.model_dump(mode="json")
    rates = load.get("arrivals", {}).get("request_rate_per_s")
    if isinstance(rates, list) and load["arrivals"]["process"] != "steps":
        load["arrivals"]["request_rate_per_s"] = rates[0] if len(rates) == 1 else point.request_rate_per_s
    return load


def _with_digests(value: Any, digests: Mapping[str, str]) -> Any:
    """The same with every file's content in place of its name; None where the content is not known."""
    if isinstance(value, list):
        return [_with_digests(item, digests) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        ("file_sha256" if key == "file" and item is not None else key): (
            digests.get(item) if key == "file" and item is not None else _with_digests(item, digests)
        )
        for key, item in value.items()
    }


def _objective(objective: Objective) -> str:
    bound, limit = objective.bound
    return " ".join(filter(None, (objective.metric, objective.statistic, bound, f"{limit:g}")))


def _surroundings(manifest: Manifest, scenario: Scenario, deployment: Deployment) -> Fields:
    yield "scenario.name", manifest.scenario_name
    yield "target.name", deployment.engine_name or deployment.deployment_id
    yield "target.kind", deployment.kind
    yield "network.server", "this host" if runs_here(deployment) else deployment.url
    yield "server.name", deployment.server.get("name")
    yield "server.version", deployment.server.get("version")
    yield "server.extensions", deployment.server.get("extensions")
    gpu: Mapping[str, Any] = manifest.gpus[0] if manifest.gpus and runs_here(deployment) else {}
    for name in GPU_STATE if gpu else ():
        yield f"gpu.{name}", gpu.get(name)
    for name in (*HARDWARE, *SOFTWARE):
        yield f"host.{name}", manifest.host.get(name)
    yield "host.worker_processes", scenario.load_generator.processes


def _leaves(prefix: str, value: Any) -> Fields:
    """Every scalar (or list of scalars) of a nested value under its dotted name; a null is a setting left out."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{prefix}.{key}", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for item in value:
            name = item.get("name") if isinstance(item, Mapping) else None
            yield from _leaves(f"{prefix}.{name or value.index(item)}", item)
    elif not prefix.endswith(".file_sha256") and value is None:
        yield prefix, NONE
    else:
        yield prefix, value
