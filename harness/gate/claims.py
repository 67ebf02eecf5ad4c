"""One metric judged at one look: p-values of both claims, interval, and how many pairs would decide. No Holm yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.gate import intervals, power, spending
from harness.gate.effects import Effect
from harness.gate.rule import GatedMetric, Rule

VALUE = "value"


@dataclass(frozen=True)
class Claims:
    """All on the scale of d (log, or ratio points). `p_pass`, `p_fail` are sequential: for all looks together."""

    method: str
    estimate: float
    low: float
    high: float
    level: float  # nominal, one-sided, of this look
    p_pass: float
    p_fail: float
    detectable: float | None
    more_pairs: int | None


def bounds(metric: GatedMetric) -> tuple[float, float]:
    """(lowest, highest) d still inside the margin; lowest is -infinity where only worse matters."""
    if metric.kind == "difference":
        return -math.inf, metric.margin
    lowest = math.log1p(-metric.margin) if metric.kind == "equivalence" and metric.margin < 1 else -math.inf
    return lowest, math.log1p(metric.margin)


def people(metric: GatedMetric, d: float) -> float:
    """d as a relative loss (0.07: 7% worse), or in ratio points."""
    if metric.kind == "difference":
        return d
    return math.expm1(d) if d < 700 else math.inf


def from_people(metric: GatedMetric, loss: float) -> float:
    """The inverse of `people`."""
    return loss if metric.kind == "difference" else math.log1p(loss)


def judge(found: Sequence[Effect], metric: GatedMetric, rule: Rule) -> Claims:
    """The claims of at least two pairs. Each is tested with the bounds of d that speak against it."""
    n = len(found)
    lows, seen, highs = (np.asarray(column) for column in zip(*((e.low, e.d, e.high) for e in found), strict=True))
    looks = spending.schedule(rule, metric, n)
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        looks = spending.by_ranks(looks)
    method = dict(looks)[n]
    level = spending.nominal_level(rule.alpha, looks)
    lowest, highest = bounds(metric)

    def sequential(p: float) -> float:
        return spending.sequential_p(p, looks)

    p_pass = sequential(intervals.p_below(highs, highest, method))
    p_fail = sequential(intervals.p_above(lows, highest, method))
    if metric.kind == "equivalence":
        p_pass = max(p_pass, sequential(intervals.p_above(lows, lowest, method)))
        p_fail = min(1.0, 2 * min(p_fail, sequential(intervals.p_below(highs, lowest, method))))
    centre = intervals.estimate(seen, method)
    spread = float(seen.std(ddof=1)) if np.isfinite(seen).all() and not intervals.spread_is_zero(seen) else None
    return Claims(
        method=VALUE if intervals.spread_is_zero(lows) and intervals.spread_is_zero(highs) else method,
        estimate=centre,
        low=intervals.lower_bound(lows, level, method),
        high=intervals.upper_bound(highs, level, method),
        level=level,
        p_pass=p_pass,
        p_fail=p_fail,
        detectable=None if spread is None else power.minimum_detectable(spread, n, level),
        more_pairs=None if spread is None else _more(spread, n, level, _distance(centre, lowest, highest)),
    )


def _distance(centre: float, lowest: float, highest: float) -> float:
    return min(abs(highest - centre), abs(centre - lowest))


def _more(spread: float, n: int, level: float, distance: float) -> int | None:
    needed = power.pairs_needed(power.cautious_spread(spread, n), distance, level)
    return None if needed is None else max(1, needed - n)
