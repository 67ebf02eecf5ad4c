"""How many requests perf_analyzer is told to send. Pure.

It can be stopped by a count only. In a closed loop the count follows from a rehearsal at the same concurrency (the
plan's first requests); in an open loop from the planned offsets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.drivers.task import MeasurementTask

REHEARSAL_PER_USER = 3
MARGIN = 1.3  # the rehearsal is short: send this much more than it promises
TAIL_NS = 3_000_000_000  # open loop: load goes on so long behind the window, at most the drain limit


def needs_rehearsal(task: MeasurementTask) -> bool:
    """Whether a time has to be turned into a count."""
    return task.warm_up_ns > 0 or task.window_ns is not None


def closed_count(task: MeasurementTask, latencies_ns: Sequence[int]) -> int:
    """Requests for warm-up, window and drain, from the latencies of the rehearsal (empty: none was needed)."""
    users = task.concurrency or 1
    counted = task.warm_up_requests + (task.window_requests or 0) + 2 * users
    if not latencies_ns:
        return counted
    latency_ns = max(1, sorted(latencies_ns)[len(latencies_ns) // 2])
    per_ns = users / latency_ns
    warm_up = max(task.warm_up_ns * per_ns, task.warm_up_requests)
    window = task.window_requests if task.window_ns is None else task.window_ns * per_ns
    return math.ceil(MARGIN * (warm_up + (window or 0))) + 2 * users


def open_count(task: MeasurementTask, offsets_ns: Sequence[int]) -> int:
    """Planned arrivals until the window is over, and a little longer: the same load goes on through the drain."""
    if task.window_ns is None:
        wanted = task.window_requests or 0
        before = sum(offset < task.warm_up_ns for offset in offsets_ns)
        return min(len(offsets_ns), before + wanted)
    end_ns = task.warm_up_ns + task.window_ns + min(TAIL_NS, task.drain_limit_ns)
    return sum(offset < end_ns for offset in offsets_ns)
