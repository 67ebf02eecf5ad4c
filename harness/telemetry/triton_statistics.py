"""Triton's per-model counters (`ModelStatistics` over gRPC), read just before and just after each window.

They count since the server started and cannot be reset: subtract. Behind TensorRT-LLM `queue` is about 0 and
`compute_infer` spans the engine's own queue, prefill and decode; a batch is always told as size 1 there. Durations
in nanoseconds. Source: Triton `docs/protocol/extension_statistics.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from harness import clock
from harness.telemetry.source import Unavailable

NAME = "triton_statistics"
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Tls:
    """Files for an encrypted connection, all optional: PEM of the authority, of the client's key and certificate."""

    ca_file: str | None = None
    key_file: str | None = None
    certificate_file: str | None = None


@dataclass(frozen=True)
class ModelStatistics:
    """The counters of one version of one model at `time_ns`. `*_count` are occurrences, `*_ns` their summed durations.

    `response_*_count` are sums over the responses of decoupled models, None where the backend does not count them;
    `last_inference_ms` is Unix time on the server's clock, None before the first inference.
    """

    time_ns: int
    model: str
    version: str
    inference_count: int
    execution_count: int
    success_count: int
    success_ns: int
    fail_count: int
    fail_ns: int
    queue_count: int
    queue_ns: int
    compute_input_count: int
    compute_input_ns: int
    compute_infer_count: int
    compute_infer_ns: int
    compute_output_count: int
    compute_output_ns: int
    cache_hit_count: int
    cache_hit_ns: int
    cache_miss_count: int
    cache_miss_ns: int
    response_success_count: int | None
    response_fail_count: int | None
    response_cancel_count: int | None
    last_inference_ms: int | None

    def counters(self) -> list[tuple[str, int, str]]:
        """(counter, value, unit) of each counter that the server keeps, for a table with one counter a row."""
        values = {name: value for name, value in vars(self).items() if name.endswith(("_count", "_ns"))}
        return [
            (name, value, "ns" if name.endswith("_ns") else "count")
            for name, value in values.items()
            if name != "time_ns" and value is not None
        ]


def read(
    url: str,
    *,
    models: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    tls: Tls | None = None,
    timeout_s: float = TIMEOUT_S,
    now: Callable[[], int] = clock.now,
) -> list[ModelStatistics] | Unavailable:
    """The counters of `models` (none named: of all), each version a row; Unavailable where the server tells none.

    `url` is HOST:PORT. Each model is one call, so its own `time_ns`.
    """
    metadata = {name.lower(): value for name, value in (headers or {}).items()}
    rows: list[ModelStatistics] = []
    try:
        with _client(url, tls) as client:
            for model in models or ("",):
                reply = client.get_inference_statistics(model, headers=metadata, client_timeout=timeout_s)
                time_ns = now()
                rows.extend(_row(entry, time_ns) for entry in reply.model_stats)
    except InferenceServerException as error:
        return Unavailable(NAME, _reason(url, error))
    except OSError as error:
        return Unavailable(NAME, f"a TLS file cannot be read: {error}")
    return rows


def _client(url: str, tls: Tls | None) -> Any:
    if tls is None:
        return triton.InferenceServerClient(url)
    return triton.InferenceServerClient(
        url,
        ssl=True,
        root_certificates=tls.ca_file,
        private_key=tls.key_file,
        certificate_chain=tls.certificate_file,
    )


def _reason(url: str, error: InferenceServerException) -> str:
    status = str(error.status() or "").removeprefix("StatusCode.")
    if status == "UNIMPLEMENTED":
        return f"the server at {url} does not offer statistics"
    if status == "DEADLINE_EXCEEDED":
        return f"the server at {url} did not tell its statistics in time"
    if status == "UNAVAILABLE":
        return f"no server answers at {url}"
    return f"the server at {url} refused to tell its statistics: {error.message()}"


def _row(entry: Any, time_ns: int) -> ModelStatistics:
    """One `ModelStatistics` message of the protocol as a row."""
    stats = entry.inference_stats
    responses = list(entry.response_stats.values())

    def over_responses(outcome: str) -> int | None:
        return sum(getattr(response, outcome).count for response in responses) if responses else None

    return ModelStatistics(
        time_ns=time_ns,
        model=entry.name,
        version=entry.version,
        inference_count=entry.inference_count,
        execution_count=entry.execution_count,
        success_count=stats.success.count,
        success_ns=stats.success.ns,
        fail_count=stats.fail.count,
        fail_ns=stats.fail.ns,
        queue_count=stats.queue.count,
        queue_ns=stats.queue.ns,
        compute_input_count=stats.compute_input.count,
        compute_input_ns=stats.compute_input.ns,
        compute_infer_count=stats.compute_infer.count,
        compute_infer_ns=stats.compute_infer.ns,
        compute_output_count=stats.compute_output.count,
        compute_output_ns=stats.compute_output.ns,
        cache_hit_count=stats.cache_hit.count,
        cache_hit_ns=stats.cache_hit.ns,
        cache_miss_count=stats.cache_miss.count,
        cache_miss_ns=stats.cache_miss.ns,
        response_success_count=over_responses("success"),
        response_fail_count=over_responses("fail"),
        response_cancel_count=over_responses("cancel"),
        last_inference_ms=entry.last_inference or None,
    )
