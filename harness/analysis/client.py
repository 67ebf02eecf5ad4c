"""Reasons about the load generator itself: was it busy, late or standing still while it took the instants?

What it says about itself is enough to judge it. A calibrated profile (`harness calibrate`) adds how near it was to what
it can carry on this host; a missing profile is a note of the assessment, never a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis import thresholds as limits
from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.analysis.instrument import load_share
from harness.metrics.results import Reason
from harness.units import NS_PER_MS, to_milliseconds

Graded = tuple[str, str] | None
MORE_ROOM = "give the load generator a core of its own or more processes, or lower the load"


def client_cpu(evidence: Evidence) -> Iterator[Reason]:
    """The load generator had no core to spare: its instants are late, its load may be lower than asked."""
    yield from evidence.graded("client_cpu", _cpu, MORE_ROOM)


def _cpu(r: MeasuredRepetition) -> Graded:
    shares = [(w.cpu_s / w.wall_s, w.worker) for w in r.measurement.workers if w.wall_s > 0]
    if not shares or max(shares)[0] <= limits.CLIENT_CPU_SUSPECT:
        return None
    share, worker = max(shares)
    severity = "INVALID" if share > limits.CLIENT_CPU_INVALID else "SUSPECT"
    return severity, f"worker {worker} used {share:.0%} of its core (limit {limits.CLIENT_CPU_SUSPECT:.0%})"


def client_ceiling(evidence: Evidence) -> Iterator[Reason]:
    """The load came near what this load generator was calibrated to carry on this host."""
    yield from evidence.graded("client_ceiling", _near_ceiling, MORE_ROOM)


def _near_ceiling(r: MeasuredRepetition) -> Graded:
    profile, window = r.beside.calibration, r.window
    if profile is None or window is None:
        return None
    tokens = r.rows.output_tokens_asked[r.cohort & r.rows.ok].sum() / window.length_s
    share = load_share(profile, float(tokens), float(r.cohort.sum()) / window.length_s, len(r.measurement.workers))
    if share is None or share <= limits.CLIENT_LOAD_SUSPECT:
        return None
    severity = "INVALID" if share > limits.CLIENT_LOAD_INVALID else "SUSPECT"
    return severity, f"the load was {share:.0%} of the calibrated ceiling (limit {limits.CLIENT_LOAD_SUSPECT:.0%})"


def client_lag(evidence: Evidence) -> Iterator[Reason]:
    """The event loop often came late to its work: instants may be late by as much."""
    yield from evidence.graded("client_lag", _lag, MORE_ROOM)


def _lag(r: MeasuredRepetition) -> Graded:
    lags = [w.loop_lag_ns_p99 for w in r.measurement.workers if w.loop_lag_ns_p99 is not None]
    first = r.response_p50_ns
    if not lags or first is None:
        return None
    limit = max(limits.LOOP_LAG_MS * NS_PER_MS, limits.LOOP_LAG_SHARE * first)
    if max(lags) <= limit:
        return None
    severity = "INVALID" if max(lags) > max(limits.LOOP_LAG_INVALID_MS * NS_PER_MS, first) else "SUSPECT"
    words = (
        f"1% of the event loop's turns came {to_milliseconds(max(lags)):.1f} ms late or later"
        f" (limit {to_milliseconds(limit):.1f} ms; median {r.response_name} {to_milliseconds(first):.0f} ms)"
    )
    return severity, words


def client_standstill(evidence: Evidence) -> Iterator[Reason]:
    """The load generator stood still: what arrived meanwhile was stamped late, what was due meanwhile left late."""
    yield from evidence.graded(
        "client_standstill",
        _standstill,
        "measure again on a machine that does not stop or swap the load generator; a laptop must not sleep",
    )


def _standstill(r: MeasuredRepetition) -> Graded:
    longest = max((w.loop_lag_ns_max or 0 for w in r.measurement.workers), default=0)
    if longest <= limits.STANDSTILL_SUSPECT_MS * NS_PER_MS:
        return None
    severity = "INVALID" if longest > limits.STANDSTILL_INVALID_MS * NS_PER_MS else "SUSPECT"
    return severity, f"the load generator stood still for {to_milliseconds(longest):.0f} ms"
