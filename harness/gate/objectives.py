"""Do the scenario's objectives hold? Each is judged by a test, never by a bare value; missing data is never a pass.

Percentile objectives: the early-stopping test of MLPerf over the cohort, counts added over repetitions, requests in
clusters counted as fewer (`analysis.objective_counts`). Others: a one-sided t bound over at least 3 repetitions.

Effects are how far the limit is broken, so that the margin is 0 and PASS is an interval wholly below it: of percentiles
the share of requests beyond the limit minus the share allowed, of others (value - limit) / limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.analysis.early_stopping import HELD, LOST
from harness.analysis.objective_counts import SHARES, Counted, enough, judge_counts
from harness.gate.verdict import FAIL, GATING, INCONCLUSIVE, INVALID, PASS, MetricVerdict, Verdict
from harness.metrics.bounds import Bound
from harness.metrics.catalog import METRICS
from harness.metrics.results import POINT_VALUE

FEWEST_REPETITIONS = 3
CONFIDENCE = 0.99
Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Evidence:
    """What one objective is judged by, at one point. `values`: one per repetition, None where there is none."""

    point_id: str
    bound: Bound
    statistic: str | None
    counts: Sequence[Counted]  # of a percentile objective, one per repetition
    values: Sequence[float | None]
    tenant: str | None = None
    saturated: bool = False  # the point was stopped because the server could not follow
    any_ok: bool = True  # some request of the point ended well
    censored: bool = False  # a value is only a bound ("> x": failed requests are in it)


def judge_objectives(
    evidence: Sequence[Evidence], invalid: Sequence[str], *, scenario: str, run: str, confidence: float = CONFIDENCE
) -> Verdict:
    """The verdict over all objectives. `invalid`: the INVALID points among those judged, with their reasons."""
    metrics = [_judged(one, confidence) for one in evidence]
    status = INVALID if invalid else _overall([metric.status for metric in metrics])
    points = list(dict.fromkeys(one.point_id for one in evidence))
    return Verdict(
        gate="objectives",
        status=status,
        sentence=_sentence(status, metrics, invalid),
        scenario=scenario,
        point_id=points[0] if len(points) == 1 else None,
        baseline="the scenario's objectives",
        candidate=run,
        metrics=metrics,
        alpha=round(1 - confidence, 6),
        warnings=list(invalid),
        next_step=_next_step(status),
    )


def _overall(statuses: Sequence[str]) -> str:
    if FAIL in statuses:
        return FAIL
    return PASS if statuses and set(statuses) == {PASS} else INCONCLUSIVE


def _judged(one: Evidence, confidence: float) -> MetricVerdict:
    if one.saturated:
        return _verdict(one, FAIL, "the point was stopped: the server could not follow the load", None, 0)
    if not one.any_ok:
        return _verdict(one, FAIL, "no request ended well", None, sum(count.n for count in one.counts))
    if one.statistic in SHARES:
        return _by_counts(one, SHARES[one.statistic], confidence)
    return _by_values(one, confidence)


def _by_counts(one: Evidence, share: float, confidence: float) -> MetricVerdict:
    over, n = sum(count.over for count in one.counts), sum(count.n for count in one.counts)
    if n == 0:
        return _verdict(one, INCONCLUSIVE, "no request has this metric: missing data is never a pass", None, 0)
    answer = judge_counts(one.counts, share, confidence)
    spread = _share_interval(one.counts, 1 - share, confidence)
    worth = sum(count.n / count.factor for count in one.counts)
    clustered = f", which come in clusters and count as {worth:.0f}" if worth < 0.95 * n else ""
    said = f"{over} of {n} requests are beyond the limit{clustered} (allowed: {1 - share:.1%})"
    if answer == HELD:
        return _verdict(one, PASS, f"holds with {confidence:.0%} confidence: {said}", spread, n)
    if answer == LOST:
        return _verdict(one, FAIL, f"does not hold, with {confidence:.0%} confidence: {said}", spread, n)
    wanted = enough(one.counts, share, confidence)
    more = "no number of requests would decide" if wanted is None else f"about {wanted:,} requests would decide"
    return _verdict(one, INCONCLUSIVE, f"cannot decide: {said}; at this share {more}", spread, n)


def _share_interval(counts: Sequence[Counted], allowed: float, confidence: float) -> Interval:
    """(effect, low, high) of the share beyond the limit: Clopper and Pearson's interval of the independent requests."""
    over, n = sum(c.over / c.factor for c in counts), sum(c.n / c.factor for c in counts)
    low = float(stats.beta.ppf(1 - confidence, over, n - over + 1)) if over > 0 else 0.0
    high = float(stats.beta.ppf(confidence, over + 1, n - over)) if over < n else 1.0
    return over / n - allowed, low - allowed, high - allowed


def _by_values(one: Evidence, confidence: float) -> MetricVerdict:
    known = np.asarray([value for value in one.values if value is not None], dtype=np.float64)
    if known.size < len(one.values) or known.size == 0:
        return _verdict(one, INCONCLUSIVE, "a repetition has no value: missing data is never a pass", None, known.size)
    if known.size < FEWEST_REPETITIONS:
        words = f"{known.size} repetitions, {FEWEST_REPETITIONS} are needed: raise `repetitions` in the scenario"
        return _verdict(one, INCONCLUSIVE, words, None, int(known.size))
    ceiling = one.bound.bound.startswith("at_most")
    mean, error = float(known.mean()), float(known.std(ddof=1)) / math.sqrt(known.size)
    reach = float(stats.t.ppf(confidence, known.size - 1)) * error
    beyond = mean - one.bound.limit if ceiling else one.bound.limit - mean  # above 0: the limit is broken
    unit = 1.0 if METRICS[one.bound.metric].unit == "ratio" or not one.bound.limit else one.bound.limit
    spread = (beyond / unit, (beyond - reach) / unit, (beyond + reach) / unit)
    said = f"mean of {known.size} repetitions {_shown(one, mean)} ± {_shown(one, reach)}"
    if one.censored and beyond - reach <= 0:
        words = f"cannot decide: {said}, and failed requests make it worse by an unknown amount"
        return _verdict(one, INCONCLUSIVE, words, None, int(known.size))
    holds = beyond + reach < 0 or (reach == 0 and beyond <= 0)
    if holds:
        return _verdict(one, PASS, f"holds with {confidence:.0%} confidence: {said}", spread, int(known.size))
    if beyond - reach > 0:
        return _verdict(one, FAIL, f"does not hold: {said}", spread, int(known.size))
    return _verdict(one, INCONCLUSIVE, f"cannot decide: {said}; more repetitions narrow it", spread, int(known.size))


def _verdict(one: Evidence, status: str, reason: str, spread: Interval | None, n: int) -> MetricVerdict:
    effect, low, high = spread or (None, None, None)
    metric = METRICS[one.bound.metric]
    limit = f"{one.bound.bound.removesuffix('_ms').removesuffix('_per_s').removesuffix('_ratio').replace('_', ' ')}"
    who = f", tenant {one.tenant}" if one.tenant else ""
    place = f"{one.point_id}{who}: {limit} {_shown(one, one.bound.limit)}: {reason}"
    return MetricVerdict(
        metric=metric.name,
        statistic=one.statistic or POINT_VALUE,
        unit=metric.unit,
        role=GATING,
        kind="difference" if one.statistic in SHARES or metric.unit == "ratio" else "log_ratio",
        better=metric.better,
        status=status,
        reason=place,
        margin=0.0,
        effect=effect,
        low=low,
        high=high,
        confidence=None,
        method="early_stopping" if one.statistic in SHARES else "t",
        n=n,
        point_id=one.point_id,
    )


def _shown(one: Evidence, value: float) -> str:
    unit = METRICS[one.bound.metric].unit
    if unit == "ns":
        return f"{value / 1e6:.4g} ms"
    return f"{value:.4g}{'/s' if unit == 'per_s' else ''}"


def _sentence(status: str, metrics: Sequence[MetricVerdict], invalid: Sequence[str]) -> str:
    of_status = [metric for metric in metrics if metric.status == status]
    if status == INVALID:
        return f"INVALID: {len(invalid)} judged point{'s' * (len(invalid) > 1)} cannot be believed."
    if status == PASS:
        return f"PASS: all {len(metrics)} objectives hold."
    words = "do not hold" if status == FAIL else "cannot be decided with these data"
    names = ", ".join(dict.fromkeys(f"{metric.metric} {metric.statistic}" for metric in of_status))
    return f"{status}: {len(of_status)} of {len(metrics)} objectives {words} ({names})."


def _next_step(status: str) -> str | None:
    return {
        INCONCLUSIVE: "lengthen phases.window_s or add repetitions as the reasons say, then measure and judge again",
        INVALID: "read the reasons of the INVALID points in the report, mend them, measure again",
        FAIL: "lower the load or change the deployment; `harness sweep` and `harness size` search for both",
    }.get(status)
