"""Reasons about the schedule of an open loop: did the requests leave when they were meant to, and all of them?

Every latency counts from the intended instant, so lateness is in the numbers, never hidden: these reasons say how much
of a number is the load generator's own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.analysis import arrival_fit
from harness.analysis import thresholds as limits
from harness.analysis.arrival_fit import Law
from harness.analysis.arrival_laws import streams
from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.metrics.columns import Ints, known
from harness.metrics.order_statistics import rank
from harness.metrics.results import Reason
from harness.metrics.window import STOPPED_SATURATED
from harness.records.schemas import OUTCOMES
from harness.units import NS_PER_MS, to_milliseconds

Graded = tuple[str, str] | None
SLOW_CLIENT = "use a less busy machine or core for the load generator, more processes, or a lower rate"


def stopped_saturated(evidence: Evidence) -> Iterator[Reason]:
    """A search probe stopped by its own rule: the load was too much, and no percentile says how much."""
    yield from evidence.reason(
        "stopped_saturated",
        "SUSPECT",
        lambda r: (
            f"stopped: saturated, {r.measurement.message or 'in-flight passed its bound'}; no percentiles"
            if r.measurement.ended == STOPPED_SATURATED
            else None
        ),
        "the rate is beyond what the target carries: measure a lower one",
    )


def schedule_lag(evidence: Evidence) -> Iterator[Reason]:
    """Requests left late by an amount that matters beside the time to first token."""
    yield from evidence.graded("schedule_lag", _lag, SLOW_CLIENT)


def _lag(r: MeasuredRepetition) -> Graded:
    lag = _lags(r)
    if lag.size == 0:
        return None
    first = r.response_p50_ns or 0.0
    limit = max(limits.SCHEDULE_LAG_MS * NS_PER_MS, limits.SCHEDULE_LAG_SHARE * first)
    p99 = float(np.sort(lag)[rank(990, lag.size) - 1])
    if p99 <= limit:
        return None
    severity = "INVALID" if p99 > limits.SCHEDULE_LAG_INVALID * limit else "SUSPECT"
    words = (
        f"1% of requests left {to_milliseconds(p99):.1f} ms late or later (limit {to_milliseconds(limit):.1f} ms;"
        f" median {r.response_name} {to_milliseconds(first):.0f} ms)"
    )
    return severity, words


def _lags(r: MeasuredRepetition) -> Ints:
    """sent - intended of the cohort's requests that were sent; none in a closed loop.

    Under a concurrency cap only those count that could leave at once: the others waited as the scenario asked.
    """
    if not r.open_loop:
        return np.empty(0, np.int64)
    chosen = r.cohort & known(r.rows.sent_ns)
    if r.concurrency_cap is not None:
        chosen = chosen & (r.in_flight_at(r.rows.intended_ns) < r.concurrency_cap)
    return r.rows.sent_ns[chosen] - r.rows.intended_ns[chosen]


def late_arrivals(evidence: Evidence) -> Iterator[Reason]:
    """Single arrivals far behind their time: a percentile of the lag does not see them, a percentile of TTFT may."""
    yield from evidence.graded("late_arrivals", _late, SLOW_CLIENT)


def _late(r: MeasuredRepetition) -> Graded:
    lag = _lags(r)
    limit = max(limits.LATE_ARRIVAL_MS * NS_PER_MS, r.response_p50_ns or 0.0)
    late = int((lag > limit).sum())
    if lag.size == 0 or late <= limits.LATE_SHARE_SUSPECT * lag.size:
        return None
    severity = "INVALID" if late > limits.LATE_SHARE_INVALID * lag.size else "SUSPECT"
    most = to_milliseconds(int(lag.max()))
    return severity, f"{late} of {lag.size} requests left over {to_milliseconds(limit):.0f} ms late (most: {most:.0f})"


def unsent_arrivals(evidence: Evidence) -> Iterator[Reason]:
    """Arrivals that were due and never left: the load was not the one named."""
    yield from evidence.reason(
        "unsent_arrivals", "INVALID", _unsent, "let the run end by itself; if it did, please report it with driver.log"
    )


def _unsent(r: MeasuredRepetition) -> str | None:
    if not r.open_loop or r.measurement.ended == STOPPED_SATURATED:
        return None
    unsent = int((r.cohort & (r.rows.outcome == OUTCOMES.index("not_sent"))).sum())
    return f"{unsent} of the window's {int(r.cohort.sum())} arrivals were never sent" if unsent else None


def arrivals(evidence: Evidence) -> Iterator[Reason]:
    """The recorded sends do not follow the arrival process that the scenario names."""
    yield from evidence.reason(
        "arrivals",
        "SUSPECT",
        lambda r: "; ".join(_misfits(r)) or None,
        "if the intended instants fit, the load generator was too slow: see schedule_lag; else choose another seed",
    )


def _misfits(r: MeasuredRepetition) -> Iterator[str]:
    if r.measurement.ended == STOPPED_SATURATED:
        return
    for stream in streams(r.beside.load, r):
        sent = r.rows.sent_ns[r.cohort & stream.rows & known(r.rows.sent_ns)]
        if stream.law is None or sent.size <= limits.FEWEST_GAPS or r.concurrency_cap is not None:
            continue
        found = _odd(sent, stream.law)
        if found is not None:
            planned = _odd(r.rows.intended_ns[r.cohort & stream.rows], stream.law)
            who = f" of tenant {stream.name}" if stream.name else ""
            fits = "do" if planned is None else "neither"
            yield f"the sends{who} do not look {stream.law.process}: {found}; the intended instants {fits}"


def _odd(instants: Ints, law: Law) -> str | None:
    """How these instants miss the law by an amount that is both large and significant."""
    fit = arrival_fit.fit(instants, law)
    if fit is None:
        return None
    if fit.p_value is None:
        drifts = fit.largest_deviation > max(2.0, limits.ARRIVAL_DRIFT * fit.gaps)
        if fit.distance <= limits.ARRIVAL_DISTANCE and not drifts:
            return None
        return (
            f"{fit.distance:.0%} of {fit.gaps} gaps are off by over half, up to {fit.largest_deviation:.0f} arrivals"
            " beside the schedule"
        )
    if fit.distance <= limits.ARRIVAL_DISTANCE or fit.p_value >= limits.ARRIVAL_P_VALUE:
        return None
    return f"Kolmogorov-Smirnov distance {fit.distance:.2f} over {fit.gaps} gaps"
