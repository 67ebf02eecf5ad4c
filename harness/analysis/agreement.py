"""Whether two instruments agree on one point: medians, percentiles and rates, each with what is known of its error.

A percentile's 95% order-statistic interval says how well this sample knows it; the stated instrument error says how
wrong the instrument itself may be. Two values differ when their intervals, each widened by its instrument's error,
have no point in common. They agree when, besides, no difference larger than the errors and a tolerance is left
possible. In between it cannot be told, which is neither. Pure; values in the metrics' own units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.metrics.results import POINT_VALUE, PointSummary, Value

AGREE, DIFFER, CANNOT_TELL = "agree", "differ", "cannot tell"
TOLERANCE_RATIO = 0.10  # of the larger value: differences below it do not matter to anybody who compares two tools

PERCENTILES = ("p50", "p90", "p99")
COMPARED: Mapping[str, Sequence[str]] = {
    "time_to_first_token_from_send": PERCENTILES,
    "inter_chunk_latency": PERCENTILES,
    "request_latency_from_send": PERCENTILES,
    "request_throughput": (POINT_VALUE,),
    "output_token_throughput": (POINT_VALUE,),
    "output_tokens": ("mean",),
}
"""From the send, not from the intended instant: perf_analyzer does not tell when its schedule began."""


@dataclass(frozen=True)
class Seen:
    """What one instrument says: a value, its interval, and the instrument's own error, all in one unit."""

    value: float
    low: float
    high: float
    error: float = 0.0


@dataclass(frozen=True)
class Agreement:
    """One value of one metric, as two instruments saw it."""

    metric: str
    statistic: str
    unit: str
    verdict: str
    left: Seen | None
    right: Seen | None
    reason: str


def decide(left: Seen, right: Seen, tolerance_ratio: float = TOLERANCE_RATIO) -> str:
    """AGREE, DIFFER or CANNOT_TELL."""
    errors = left.error + right.error
    apart = max(left.low - right.high, right.low - left.high)
    if apart > errors:
        return DIFFER
    farthest = max(left.high - right.low, right.high - left.low)
    allowed = errors + tolerance_ratio * max(abs(left.value), abs(right.value))
    return AGREE if farthest <= allowed else CANNOT_TELL


def compare(
    left: PointSummary,
    right: PointSummary,
    in_flight: float,
    error_of: Mapping[tuple[str, str], tuple[float, float]],
) -> list[Agreement]:
    """Every compared value of a point. `in_flight`: requests at a window's edge, by which a counted rate may be off.

    `error_of`: (metric, statistic) → stated error of the left and the right instrument, in the metric's unit; 0 where
    missing.
    """
    windows = [_window_s(summary) for summary in (left, right)]
    found = []
    for metric, names in COMPARED.items():
        for statistic in names:
            values = [summary.metrics[metric].get(statistic) for summary in (left, right)]
            errors = error_of.get((metric, statistic), (0.0, 0.0))
            seen = [
                _seen(metric, value, error, window, in_flight)
                for value, error, window in zip(values, errors, windows, strict=True)
            ]
            found.append(_agreement(metric, statistic, values, seen))
    return found


def overall(agreements: Sequence[Agreement]) -> str:
    """DIFFER if anything differs; AGREE if every median that both have agrees; else CANNOT_TELL."""
    verdicts = [each.verdict for each in agreements]
    if DIFFER in verdicts:
        return DIFFER
    medians = [each.verdict for each in agreements if each.statistic == "p50"]
    return AGREE if medians and all(verdict == AGREE for verdict in medians) else CANNOT_TELL


def _agreement(metric: str, statistic: str, values: Sequence[Value | None], seen: Sequence[Seen | None]) -> Agreement:
    unit = next((value.unit for value in values if value is not None), "")
    left, right = seen
    if left is None or right is None:
        reasons = [_why_not(value) for value, one in zip(values, seen, strict=True) if one is None]
        return Agreement(metric, statistic, unit, CANNOT_TELL, left, right, reasons[0])
    verdict = decide(left, right)
    reason = "the intervals are too wide: measure longer" if verdict == CANNOT_TELL else ""
    return Agreement(metric, statistic, unit, verdict, left, right, reason)


def _seen(metric: str, value: Value | None, error: float, window_s: float, in_flight: float) -> Seen | None:
    if value is None or value.value is None or value.above or value.below:
        return None
    number = value.value
    if metric == "request_throughput" and window_s > 0:  # a request belongs to the window in which it ends
        edge = max(in_flight, 2 * math.sqrt(number * window_s)) / window_s
        return Seen(number, max(0.0, number - edge), number + edge, error)
    if metric == "output_token_throughput" and window_s > 0:  # each stream may have one more chunk within the window
        edge = max(in_flight / window_s, 0.02 * number)
        return Seen(number, max(0.0, number - edge), number + edge, error)
    if value.low is None or value.high is None:
        return Seen(number, number, number, error) if metric == "output_tokens" else None
    return Seen(number, value.low, value.high, error)


def _why_not(value: Value | None) -> str:
    if value is None:
        return "not available"
    if value.above or value.below:
        return "it falls among requests that failed"
    return value.reason or "no interval"


def _window_s(summary: PointSummary) -> float:
    return max((repetition.window_s for repetition in summary.repetitions), default=0.0)
