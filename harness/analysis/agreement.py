"""Whether two instruments agree on one point: medians, percentiles and rates, each with what is known of its error.

A percentile's 95% order-statistic interval says how well one repetition knows it, the hull over the repetitions how far
the server drifted meanwhile, and the stated instrument error how wrong the instrument itself may be. Two values differ
when their hulls, each widened by its instrument's error, have no point in common. They agree when, besides, no
difference larger than the errors and a tolerance is left possible. In between it cannot be told, which is neither.
Pure; values in the metrics' own units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.metrics.results import POINT_VALUE, PointSummary, Value

AGREE, DIFFER, CANNOT_TELL = "agree", "differ", "cannot tell"
RATE_EDGE_RATIO = 0.02  # tokens at the edges of a window, at least this share
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
    found = []
    for metric, names in COMPARED.items():
        for statistic in names:
            errors = error_of.get((metric, statistic), (0.0, 0.0))
            seen = [
                _seen(metric, statistic, summary, error, in_flight)
                for summary, error in zip((left, right), errors, strict=True)
            ]
            found.append(_agreement(metric, statistic, left, right, seen))
    return found


def overall(agreements: Sequence[Agreement]) -> str:
    """DIFFER if anything differs; AGREE if every median that both have agrees; else CANNOT_TELL."""
    verdicts = [each.verdict for each in agreements]
    if DIFFER in verdicts:
        return DIFFER
    medians = [each.verdict for each in agreements if each.statistic == "p50"]
    return AGREE if medians and all(verdict == AGREE for verdict in medians) else CANNOT_TELL


def _agreement(
    metric: str, statistic: str, left: PointSummary, right: PointSummary, seen: Sequence[Seen | None]
) -> Agreement:
    values = [summary.metrics[metric][statistic] for summary in (left, right)]
    first, second = seen
    if first is None or second is None:
        reason = next(_why_not(value) for value, one in zip(values, seen, strict=True) if one is None)
        return Agreement(metric, statistic, values[0].unit, CANNOT_TELL, first, second, reason)
    verdict = decide(first, second)
    reason = "the intervals are too wide: measure longer" if verdict == CANNOT_TELL else ""
    return Agreement(metric, statistic, values[0].unit, verdict, first, second, reason)


def _seen(metric: str, statistic: str, summary: PointSummary, error: float, in_flight: float) -> Seen | None:
    """The point's value, and the hull of its repetitions' intervals: the server drifts between them."""
    value = summary.metrics[metric][statistic].value
    intervals = [
        _interval(metric, repetition.metrics[metric][statistic], repetition.window_s, in_flight)
        for repetition in summary.repetitions
        if repetition.complete
    ]
    known = [interval for interval in intervals if interval is not None]
    if value is None or not known or len(known) < len(intervals):
        return None
    return Seen(value, min(low for low, _ in known), max(high for _, high in known), error)


def _interval(metric: str, value: Value, window_s: float, in_flight: float) -> tuple[float, float] | None:
    """(low, high) of one repetition; None where it has none, or where the value is only a bound."""
    number = value.value
    if number is None or value.above or value.below or window_s <= 0:
        return None
    if metric == "request_throughput":  # a request belongs to the window in which it ends
        edge = max(in_flight, 2 * math.sqrt(number * window_s)) / window_s
    elif metric == "output_token_throughput":  # each stream may have one more chunk within the window
        edge = max(in_flight / window_s, RATE_EDGE_RATIO * number)
    elif metric == "output_tokens":  # counted, not estimated
        edge = 0.0
    else:
        return None if value.low is None or value.high is None else (value.low, value.high)
    return max(0.0, number - edge), number + edge


def _why_not(value: Value) -> str:
    if value.above or value.below:
        return "it falls among requests that failed"
    return value.reason or "no interval"
