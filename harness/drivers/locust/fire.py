"""Finished requests as Locust's own events: for its statistics, its web page and anybody's listeners.

Plain subtractions in milliseconds, for Locust's tables only. No metric of the harness is ever read from there.
"""

from __future__ import annotations

from locust.env import Environment

from harness.drivers.locust.recorder import FinishedRequest

MS = 1e6


def fire_request(environment: Environment, protocol: str, finished: FinishedRequest) -> None:
    """One event per request; its type is `protocol`, its name is the workload part."""
    answer = finished.answer
    sent_ns = answer.done_ns if finished.sent_ns is None else finished.sent_ns
    well = answer.outcome in ("ok", "cancelled")
    _fire(
        environment,
        protocol,
        finished,
        answer.done_ns - sent_ns,
        len(answer.text),
        None if well else RuntimeError(answer.error or answer.outcome),
    )


def fire_token_times(environment: Environment, finished: FinishedRequest) -> None:
    """Events of type `TTFT` (first token - sent) and `TPOT` ((last - first) / (tokens - 1)), where they exist."""
    answer = finished.answer
    pairs = zip(answer.chunk_stamps_ns, answer.chunk_tokens, strict=True)
    stamps = [stamp for stamp, tokens in pairs if tokens > 0]
    if not stamps or finished.sent_ns is None:
        return
    _fire(environment, "TTFT", finished, stamps[0] - finished.sent_ns)
    tokens = sum(answer.chunk_tokens)
    if tokens > 1:
        _fire(environment, "TPOT", finished, (stamps[-1] - stamps[0]) / (tokens - 1))


def _fire(
    environment: Environment,
    kind: str,
    finished: FinishedRequest,
    duration_ns: float,
    length: int = 0,
    error: Exception | None = None,
) -> None:
    environment.events.request.fire(
        request_type=kind,
        name=finished.planned.workload_part,
        response_time=duration_ns / MS,
        response_length=length,
        exception=error,
        context={},
    )
