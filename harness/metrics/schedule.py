"""What became of an open loop's schedule: the rate that was offered, what was never sent, what was sent late.

Times are nanoseconds, rates per second. The distribution of the lag itself is the metric `schedule_lag`.
"""

from __future__ import annotations

from harness.metrics.columns import known
from harness.metrics.combine import combine
from harness.metrics.repetition import Repetition
from harness.metrics.results import PointSummary, Value

NOT_SENT = "not_sent"


def offered_rate(summary: PointSummary) -> Value:
    """Requests intended (closed loop: sent) in the window per second: median and range of the repetitions."""
    opened = [r for r in summary.repetitions if r.window_s > 0]
    if not opened:
        return Value(None, "per_s", 0, reason="not available: no window was opened")
    return combine([Value(r.offered_rate_per_s, "per_s", r.cohort) for r in opened])


def unsent(summary: PointSummary) -> int:
    """Requests of the windows that were due and never sent, over all repetitions."""
    return sum(r.outcomes.get(NOT_SENT, 0) for r in summary.repetitions)


def sent_late(r: Repetition, limit_ns: float) -> int:
    """Requests of the cohort that left more than `limit_ns` after their intended instant; 0 in a closed loop."""
    if not r.open_loop:
        return 0
    sent = r.cohort & known(r.rows.sent_ns)
    return int((r.rows.sent_ns[sent] - r.rows.intended_ns[sent] > limit_ns).sum())
