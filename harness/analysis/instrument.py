"""How wrong the instrument itself is at a point: the calibrated profile, interpolated at the point's load.

What the report prints beside a number. The errors were measured against a truth server on the same host, so they hold
the cost of the loopback and of that server as well: they are upper bounds. Times are nanoseconds.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.metrics.results import PointSummary
from harness.records.calibration import Calibration, Ceiling, TimingLevel
from harness.records.manifest import Point
from harness.units import to_seconds


@dataclass(frozen=True)
class InstrumentError:
    """The instrument's own errors at one load. None: not calibrated."""

    streams: float  # requests in flight for which this holds
    beyond_calibrated: bool  # more streams than were calibrated: the errors are at least these
    time_to_first_token_p50_ns: float | None = None
    time_to_first_token_p99_ns: float | None = None
    gap_p99_ns: float | None = None
    send_lateness_p50_ns: float | None = None  # open loop only
    send_lateness_p99_ns: float | None = None
    load_share: float | None = None  # of what the load generator carries, 0-1


def instrument_error(profile: Calibration, point: Point, summary: PointSummary | None = None) -> InstrumentError:
    """The instrument's errors at a point. `summary` tells an open loop's in-flight, and how near the ceiling it was."""
    streams = _streams(point, summary)
    rate = point.request_rate_per_s
    late = sorted(profile.send_lateness, key=lambda level: level.request_rate_per_s)
    rates = [level.request_rate_per_s for level in late]
    levels = profile.timing
    counts = [float(level.streams) for level in levels]

    def timing(value: Callable[[TimingLevel], float]) -> float | None:
        return interpolated(counts, [value(level) for level in levels], streams)

    return InstrumentError(
        streams=streams,
        beyond_calibrated=bool(counts) and streams > counts[-1],
        time_to_first_token_p50_ns=timing(lambda level: level.time_to_first_token_error_p50_ns),
        time_to_first_token_p99_ns=timing(lambda level: level.time_to_first_token_error_p99_ns),
        gap_p99_ns=timing(lambda level: level.gap_error_p99_ns),
        send_lateness_p50_ns=None if rate is None else interpolated(rates, [level.p50_ns for level in late], rate),
        send_lateness_p99_ns=None if rate is None else interpolated(rates, [level.p99_ns for level in late], rate),
        load_share=None if summary is None else _load_share(profile, summary),
    )


def interpolated(at: Sequence[float], values: Sequence[float], wanted: float) -> float | None:
    """Linear in the logarithm of `at` (ascending, positive); the nearest value outside; None without values."""
    if not at:
        return None
    if wanted <= at[0]:
        return values[0]
    if wanted >= at[-1]:
        return values[-1]
    right = bisect.bisect_right(at, wanted)
    share = math.log(wanted / at[right - 1]) / math.log(at[right] / at[right - 1])
    return values[right - 1] + share * (values[right] - values[right - 1])


def load_share(
    profile: Calibration, output_tokens_per_s: float, requests_per_s: float, workers: int = 1
) -> float | None:
    """The share of the load generator's ceiling that this load takes: tokens and requests add up. None: not known."""
    tokens, requests = profile.ceiling("output_tokens"), profile.ceiling("requests")
    if tokens is None or requests is None:
        return None
    return (_share(tokens, output_tokens_per_s) + _share(requests, requests_per_s)) / max(1, workers)


def _share(ceiling: Ceiling, per_s: float) -> float:
    return per_s / ceiling.estimated_per_s if ceiling.estimated_per_s > 0 else 0.0


def _streams(point: Point, summary: PointSummary | None) -> float:
    """Requests in flight: the concurrency, or by Little's law the rate times the mean latency."""
    if point.concurrency is not None:
        return float(point.concurrency)
    if summary is None:
        return 1.0
    latency = summary.metrics["request_latency_from_send"]["mean"].value
    done_per_s = summary.metrics["request_throughput"]["value"].value  # the rate asked counts sessions, not their turns
    return max(1.0, max(point.request_rate_per_s or 0.0, done_per_s or 0.0) * to_seconds(int(latency or 0)))


def _load_share(profile: Calibration, summary: PointSummary) -> float | None:
    tokens = summary.metrics["output_token_throughput"]["value"].value
    requests = summary.metrics["request_throughput"]["value"].value
    return load_share(profile, tokens or 0.0, requests or 0.0)
