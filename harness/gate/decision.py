"""The decision over pairs: every metric against its margin, all of them together, and what is still missing.

One-sided tests at the level of the look (`looks`). PASS of a metric: it is shown to be less than the margin worse; all
must pass, which needs no correction. FAIL: it is shown to be more than the margin worse, after Holm's correction over
the gating metrics, for one is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy import special

from harness.gate import intervals
from harness.gate.effects import Effect, Missing, effects, usable
from harness.gate.intervals import Array
from harness.gate.looks import level_of
from harness.gate.methods import gated
from harness.gate.pairs import MetricKey, Pair
from harness.gate.rule import GatedMetric, Method, Rule
from harness.gate.verdict import (
    FAIL,
    GATING,
    INCONCLUSIVE,
    INFORMATION,
    INVALID,
    PASS,
    MetricVerdict,
    PairValue,
    Verdict,
)
from harness.metrics.catalog import METRICS

RANKS_FROM = 12  # pairs; with fewer, ranks that decide after Holm are too rare to be of use
POWER = 0.8  # with which a minimum detectable effect is noticed
MOST_PAIRS = 1000


def next_look(rule: Rule, pairs: Sequence[Pair]) -> int | None:
    """How many usable pairs are wanted in all; None where those there are decide, or no look is left."""
    n = len(usable(pairs, rule.metrics).pairs)
    if n >= rule.looks[0] and decide(rule, pairs).status in (PASS, FAIL):
        return None
    return next((look for look in rule.looks if look > n), None)


def decide(rule: Rule, pairs: Sequence[Pair], information: Sequence[MetricKey] = ()) -> Verdict:
    """The verdict of these pairs, in the order in which they were measured. Names and identity are left empty."""
    kept = usable(pairs, rule.metrics)
    n, level = len(kept.pairs), level_of(tuple(rule.looks), rule.alpha)
    judged = _with_holm([_metric(kept.pairs, metric, level) for metric in rule.metrics], level)
    if n < rule.minimum_pairs:
        judged = [
            replace(m, status=INCONCLUSIVE, reason=f"{n} pairs are too few: at least {rule.minimum_pairs}")
            for m in judged
        ]
    shown = [replace(_metric(kept.pairs, gated(*key), level), role=INFORMATION) for key in information]
    status, sentence, step = _overall(judged, kept.left_out, n, rule)
    return Verdict(
        gate="pair",
        status=status,
        sentence=sentence,
        scenario="",
        point_id=None,
        baseline="",
        candidate="",
        metrics=[*judged, *shown],
        pairs=n,
        look=next((number for number, look in enumerate(rule.looks, start=1) if look == n), None),
        looks=list(rule.looks),
        alpha=rule.alpha,
        warnings=[*kept.left_out, *_margins_too_small(judged)],
        next_step=step,
    )


def _metric(pairs: Sequence[Pair], metric: GatedMetric, level: float) -> MetricVerdict:
    found = effects(pairs, metric) if pairs else Missing("no pair can be used")
    said = MetricVerdict(
        metric=metric.metric,
        statistic=metric.statistic,
        unit=METRICS[metric.metric].unit,
        role=GATING,
        kind=metric.kind,
        better=metric.better,
        status=INCONCLUSIVE,
        reason="",
        margin=metric.margin,
        effect=None,
        low=None,
        high=None,
        confidence=None,
        method=None,
        n=len(pairs),
    )
    return replace(said, reason=found.reason) if isinstance(found, Missing) else _tested(said, metric, found, level)


def _tested(said: MetricVerdict, metric: GatedMetric, found: Sequence[Effect], level: float) -> MetricVerdict:
    d, low, high = (np.asarray([getattr(e, name) for e in found]) for name in ("d", "low", "high"))
    method: Method = "signed_rank" if metric.method == "signed_rank" and len(found) >= RANKS_FROM else "t"
    above, below = bounds_of(metric)
    p_pass = intervals.p_below(high, above, method)
    p_fail = intervals.p_above(low, above, method)
    if below is not None:  # equivalence: both sides must hold, either may break
        p_pass = max(p_pass, intervals.p_above(low, below, method))
        p_fail = min(1.0, 2 * min(p_fail, intervals.p_below(high, below, method)))
    constant, spread = intervals.spread_is_zero(d), spread_of(d, method, level)
    ranks = method == "signed_rank" or not np.all(np.isfinite(d))
    return replace(
        said,
        effect=_loss(intervals.estimate(d, method), metric),
        low=_loss(intervals.lower_bound(low, level, method), metric),
        high=_loss(intervals.upper_bound(high, level, method), metric),
        confidence=1 - 2 * level,
        method="value" if constant else "signed_rank" if ranks else "t",
        p_pass=p_pass,
        p_fail=p_fail,
        status=PASS if p_pass <= level else INCONCLUSIVE,
        minimum_detectable_effect=_loss(detectable(spread, len(found), level), metric),
        more_pairs_needed=_more_pairs(d, spread, metric, level),
        values=[PairValue(e.index, e.baseline, e.candidate, e.d) for e in found],
    )


def bounds_of(metric: GatedMetric) -> tuple[float, float | None]:
    """The margin on the scale of d: above, and for an equivalence below."""
    if metric.kind == "difference":
        return metric.margin, None
    below = math.log(max(1 - metric.margin, 1e-9)) if metric.kind == "equivalence" else None
    return math.log1p(metric.margin), below


def spread_of(d: Array, method: Method, level: float) -> float:
    """The standard deviation; of ranks the one whose t-interval would be as wide as theirs: outliers count little."""
    if intervals.spread_is_zero(d):
        return 0.0
    if d.size < 2 or not np.all(np.isfinite(d)):
        return math.inf
    if method == "t":
        return float(d.std(ddof=1))
    width = intervals.upper_bound(d, level, method) - intervals.lower_bound(d, level, method)
    return float(width / 2 * math.sqrt(d.size) / special.stdtrit(d.size - 1, 1 - level))


def detectable(spread: float, n: int, level: float) -> float:
    """The smallest d that n pairs of this spread show to be above 0, with probability POWER."""
    return 0.0 if spread == 0 else float(spread * _per_spread(level)[n])


def _more_pairs(d: Array, spread: float, metric: GatedMetric, level: float) -> int | None:
    """Pairs until such effects decide; None where they sit on the margin, or say nothing."""
    if not math.isfinite(spread):
        return None
    above, below = bounds_of(metric)
    middle = intervals.estimate(d, metric.method)
    distance = min(abs(middle - edge) for edge in (above, below) if edge is not None)
    enough = np.flatnonzero(spread * _per_spread(level)[d.size + 1 :] <= distance)
    return int(enough[0]) + 1 if enough.size else None


@lru_cache(maxsize=16)
def _per_spread(level: float) -> Array:
    """Of n pairs (the index): the detectable effect in units of their standard deviation, by Student's t."""
    n = np.arange(2, MOST_PAIRS)
    enough = (special.stdtrit(n - 1, 1 - level) + special.stdtrit(n - 1, POWER)) / np.sqrt(n)
    return np.concatenate([[np.inf, np.inf], enough])


def _loss(d: float, metric: GatedMetric) -> float:
    if metric.kind == "difference":
        return d
    return math.inf if d > 700 else math.expm1(d)


def _with_holm(metrics: Sequence[MetricVerdict], level: float) -> list[MetricVerdict]:
    """Holm's step-down over the metrics that have a p; the others count as 1."""
    order = sorted(range(len(metrics)), key=lambda i: _p(metrics[i]))
    adjusted, worst = dict[int, float](), 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(metrics) - place) * _p(metrics[index])))
        adjusted[index] = worst
    return [_decided(metric, adjusted[index], level) for index, metric in enumerate(metrics)]


def _p(metric: MetricVerdict) -> float:
    return 1.0 if metric.p_fail is None else metric.p_fail


def _decided(metric: MetricVerdict, adjusted: float, level: float) -> MetricVerdict:
    if metric.p_fail is None:
        return metric
    status = FAIL if adjusted <= level else metric.status
    words = {PASS: "within the margin", FAIL: "worse than the margin allows", INCONCLUSIVE: "neither shown"}
    if metric.kind == "equivalence":
        words[FAIL] = "moved by more than the margin"
    more = metric.more_pairs_needed if status == INCONCLUSIVE else None
    reason = words[status] + (f"; about {more} more pairs would decide" if more else "")
    return replace(metric, status=status, reason=reason, p_fail_adjusted=adjusted, more_pairs_needed=more)


def _overall(
    metrics: Sequence[MetricVerdict], left_out: Sequence[str], n: int, rule: Rule
) -> tuple[str, str, str | None]:
    """Status, sentence, next step."""
    if n == 0 and left_out:
        return INVALID, f"no pair can be used: {left_out[0]}", "mend what the sentences name, and measure again"
    failed = [m for m in metrics if m.status == FAIL]
    open_ones = [m for m in metrics if m.status == INCONCLUSIVE]
    if failed:
        return (
            FAIL,
            f"{_names(failed)} of the candidate: worse than the margin allows",
            "find what changed, or take the old one",
        )
    if not open_ones:
        return PASS, f"no metric is worse than its margin allows, by {n} pairs", None
    needed = [m.more_pairs_needed for m in open_ones]
    known = [more for more in needed if more is not None]
    step = (
        f"about {max(known)} more pairs would decide" if len(known) == len(needed) else "see the reasons of the metrics"
    )
    return INCONCLUSIVE, f"{n} pairs do not decide {_names(open_ones)}", step


def _names(metrics: Sequence[MetricVerdict]) -> str:
    return ", ".join(m.metric if m.statistic == "value" else f"{m.metric} {m.statistic}" for m in metrics)


def _margins_too_small(metrics: Sequence[MetricVerdict]) -> list[str]:
    return [
        f"{_names([m])}: the margin {m.margin:g} is below twice the smallest loss that would be noticed"
        f" ({2 * m.minimum_detectable_effect:.3g})"
        for m in metrics
        if m.minimum_detectable_effect is not None
        and m.margin is not None
        and m.margin < 2 * m.minimum_detectable_effect
    ]
