"""From a point of the scenario and an open target to the task that a driver executes."""

from __future__ import annotations

import dataclasses

from harness.drivers.task import Address, MeasurementTask, TlsFiles
from harness.plan.files import prompt_files
from harness.protocols import openai
from harness.protocols.contract import ModelContract, assumed, check
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.objective import PERCENTILES
from harness.scenario.schema import Scenario
from harness.scenario.target import Tls
from harness.target.opened import OpenTarget
from harness.units import from_seconds

WARM_UP_REQUESTS_PER_USER = 2
EVENTS = {"time_to_first_token": "first_token", "request_latency": "done"}  # metrics that a probe can stop by


def contract_of(target: OpenTarget) -> ModelContract:
    """The tensors a request may use. Raises UsageError when the model is none that we can talk to."""
    model, told = target.endpoint.model, target.contract
    if target.endpoint.protocol.startswith("openai_"):
        return openai.contract(model)
    if told is None:
        return assumed(model)
    first = next((told.inputs[name] for name in ("text_input", "request_output_len") if name in told.inputs), None)
    contract = ModelContract(
        model=model,
        inputs={name: tensor.datatype for name, tensor in told.inputs.items()},
        outputs={name: tensor.datatype for name, tensor in told.outputs.items()},
        batched=first is None or len(first.shape) > 1,
    )
    check(contract)
    return contract


def assignment(
    scenario: Scenario, folder: RunFolder, manifest: Manifest, target: OpenTarget, point: Point, repetition: int
) -> MeasurementTask:
    """The task for one repetition of a point. Raises UsageError when the model is none that we can talk to."""
    endpoint, phases, contract = target.endpoint, scenario.phases, contract_of(target)
    host, _, port = endpoint.url.rpartition(":")
    window_s = phases.window_length_s
    return MeasurementTask(
        run_folder=str(folder.path),
        point_id=point.point_id,
        ordinal=manifest.points.index(point),
        arm=point.arm,
        repetition=repetition,
        attempt=manifest.attempt,
        salt=manifest.salt,
        prompt_seed=manifest.seed,
        address=Address(host.strip("[]"), int(port), _files(endpoint.tls), dict(endpoint.headers), endpoint.base_path),
        model=contract.model,
        inputs=dict(contract.inputs),
        outputs=dict(contract.outputs),
        batched=contract.batched,
        tokenizer=str(endpoint.tokenizer) if endpoint.tokenizer else None,
        concurrency=point.concurrency,
        warm_up_ns=from_seconds(phases.warm_up_s),
        warm_up_requests=WARM_UP_REQUESTS_PER_USER * (point.concurrency or 0),
        window_ns=None if window_s is None else from_seconds(window_s),
        window_requests=phases.window_requests,
        drain_limit_ns=from_seconds(scenario.drain_limit_s),
        max_in_flight=getattr(scenario.load, "concurrency_cap", None),
        stop_above_in_flight=None if scenario.size is None else scenario.size.stop_above_in_flight,
        stop_above_late=None if scenario.size is None else scenario.size.stop_above_late,
        late_after_ns={} if scenario.size is None else _late_after_ns(scenario),
        tenant_headers={tenant.name: dict(tenant.headers) for tenant in scenario.tenants},
        protocol=endpoint.protocol,
        streamed=scenario.request.stream,
        prompt_files=prompt_files(scenario, point.workload),
    )


def _late_after_ns(scenario: Scenario) -> dict[str, int]:
    """Event → the loosest limit that a percentile objective sets on it, in nanoseconds from the origin."""
    limits: dict[str, int] = {}
    for objective in scenario.objectives:
        event = EVENTS.get(objective.metric)
        if event is not None and objective.statistic in PERCENTILES and objective.at_most_ms is not None:
            limit_ns = from_seconds(objective.at_most_ms / 1e3)
            limits[event] = max(limits.get(event, limit_ns), limit_ns)
    return limits


def _files(tls: Tls | None) -> TlsFiles | None:
    if tls is None:
        return None
    paths = {name: str(path) for name in ("ca_file", "cert_file", "key_file") if (path := getattr(tls, name))}
    return dataclasses.replace(TlsFiles(**paths), server_name=tls.server_name)
