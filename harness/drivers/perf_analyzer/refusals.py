"""What perf_analyzer cannot do, refused by name before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.drivers.planned import PlannedRow
from harness.drivers.task import MeasurementTask
from harness.errors import UsageError

GRPC = "triton_grpc"
CLASSIC_PROMPTS = ("text_input", "input_ids")
WAY_OUT = "use driver: locust, which can"


def refuse(task: MeasurementTask, rows: Sequence[PlannedRow]) -> None:
    """Raise UsageError for the first thing asked that perf_analyzer has no means for."""
    for what in _impossible(task, rows):
        raise UsageError(f"perf_analyzer cannot do this point: {what}", hint=WAY_OUT)


def _impossible(task: MeasurementTask, rows: Sequence[PlannedRow]) -> Iterator[str]:
    if task.protocol != GRPC:
        yield f"it is only used over {GRPC}, and the target is asked by {task.protocol}"
    if not task.streamed:
        yield "it asks for streams only (request.stream: false)"
    if task.address.headers:
        yield f"it sends no gRPC metadata, and the target wants {', '.join(sorted(task.address.headers))}"
    if task.address.tls is not None and task.address.tls.server_name is not None:
        yield "it cannot check the certificate against another server name (tls.server_name)"
    if not any(name in task.inputs for name in CLASSIC_PROMPTS):
        yield f"model {task.model!r} takes neither text_input nor input_ids"
    if task.max_in_flight is not None or task.stop_above_in_flight is not None:
        yield "it has no bound of requests in flight in an open loop"
    if named := sorted({name for headers in task.tenant_headers.values() for name in headers}):
        yield f"it sends no gRPC metadata, and tenants have headers ({', '.join(named)})"
    if any(row.traced for row in rows):
        yield "it sends no gRPC metadata, and request.trace_share asks for a traceparent header"
    if any(row.new_input_tokens is not None for row in rows):
        yield "it cannot repeat the real replies of a session (history: reply)"
    if any(row.session_id is not None for row in rows):
        yield "it has no multi-turn sessions over requests"
    if any(row.cancel_after_tokens is not None or row.cancel_after_ns is not None for row in rows):
        yield "it cannot cancel a request"
    if len({row.tenant for row in rows}) > 1:
        yield "it cannot tell several tenants apart in one run"
    if len({row.timeout_ns for row in rows}) > 1:
        yield "it has no per-request timeouts"
