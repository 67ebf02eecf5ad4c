"""Warm-up, window and drain of a repetition that is over, cut from its instants by the rules Locust's driver obeys.

The window opens when warm-up has lasted its time and (closed loop) enough requests are done; it closes after its
length, or with the N-th request. perf_analyzer sends a number of requests and stops: a closed loop is full only until
the last send, so a window that would reach beyond it is closed there, and the repetition says `max_requests`. Pure;
instants in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.drivers.task import MeasurementTask


@dataclass(frozen=True)
class Span:
    """A request's origin (intended in an open loop, else sent) and its end."""

    origin_ns: int
    done_ns: int


@dataclass(frozen=True)
class Cut:
    """The phases of one repetition; the window is None where warm-up never ended."""

    start_ns: int
    window_start_ns: int | None
    window_end_ns: int | None
    drain_end_ns: int
    ended: str

    def phase(self, origin_ns: int) -> str:
        """The phase of a request."""
        if self.window_start_ns is None or origin_ns < self.window_start_ns:
            return "warm_up"
        return "window" if self.window_end_ns is not None and origin_ns < self.window_end_ns else "drain"


def cut(task: MeasurementTask, start_ns: int, spans: Sequence[Span], *, closed: bool) -> Cut:
    """The phases of these requests. `closed`: the load is a closed loop, which thins out after the last send."""
    last_origin = max((span.origin_ns for span in spans), default=start_ns)
    window_start = _window_start(task, start_ns, spans) if closed else start_ns + task.warm_up_ns
    if window_start is None or window_start > last_origin:
        return Cut(start_ns, None, None, max((span.done_ns for span in spans), default=start_ns), "max_requests")
    window_end, ended = _window_end(task, window_start, spans), "window_over"
    if window_end is None or (closed and window_end > last_origin + 1):
        window_end, ended = last_origin + 1, "max_requests"
    cohort = [span.done_ns for span in spans if window_start <= span.origin_ns < window_end]
    drain_end = min(max([window_end, *cohort]), window_end + task.drain_limit_ns)
    return Cut(start_ns, window_start, window_end, drain_end, ended)


def _window_start(task: MeasurementTask, start_ns: int, spans: Sequence[Span]) -> int | None:
    warm_ns = start_ns + task.warm_up_ns
    if task.warm_up_requests == 0:
        return warm_ns
    ends = sorted(span.done_ns for span in spans)
    return None if len(ends) < task.warm_up_requests else max(warm_ns, ends[task.warm_up_requests - 1])


def _window_end(task: MeasurementTask, window_start: int, spans: Sequence[Span]) -> int | None:
    if task.window_ns is not None:
        return window_start + task.window_ns
    sends = sorted(span.origin_ns for span in spans if span.origin_ns >= window_start)
    wanted = task.window_requests or 0
    return sends[wanted - 1] + 1 if 0 < wanted <= len(sends) else None
