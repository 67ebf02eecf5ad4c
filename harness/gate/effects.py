"""From pairs to numbers: the effect d of each pair on one metric, and the pairs that cannot be used at all.

d is ln(candidate/baseline) or a difference of shares, turned so that above 0 is worse (`equivalence`: longer). Where a
value is only known to be above or below a limit (failures rank behind every success), d is only known to lie between
two bounds, and every claim is tested with the bound that speaks against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.gate.pairs import BASELINE, CANDIDATE, MetricKey, Pair
from harness.gate.rule import GatedMetric
from harness.metrics.results import POINT_VALUE, Value

ERROR_RATIO: MetricKey = ("error_ratio", POINT_VALUE)


@dataclass(frozen=True)
class Effect:
    """One pair on one metric: both values, d as seen, and the bounds between which d lies."""

    index: int
    baseline: float | None
    candidate: float | None
    d: float
    low: float
    high: float


@dataclass(frozen=True)
class Missing:
    """Why a metric has no effects."""

    reason: str


@dataclass(frozen=True)
class Usable:
    """The pairs that count, and a sentence for each that does not."""

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]


def succeeded(pair: Pair, arm: str) -> bool:
    """Whether the arm had a successful request: by its count, else by an error ratio below 1; unknown counts as yes."""
    count = pair.baseline_ok if arm == BASELINE else pair.candidate_ok
    if count is not None:
        return count > 0
    ratio = (pair.baseline if arm == BASELINE else pair.candidate).get(ERROR_RATIO)
    return ratio is None or ratio.value is None or ratio.value < 1


def usable(pairs: Sequence[Pair], metrics: Sequence[GatedMetric]) -> Usable:
    """Leaves out pairs that are INVALID, whose baseline had no success, or a 0 where a ratio needs a number."""
    kept, left_out = [], []
    for pair in pairs:
        why = _unusable(pair, metrics)
        if why is None:
            kept.append(pair)
        else:
            left_out.append(f"pair {pair.index + 1}: {why}")
    return Usable(tuple(kept), tuple(left_out))


def _unusable(pair: Pair, metrics: Sequence[GatedMetric]) -> str | None:
    if pair.invalid:
        return "; ".join(pair.invalid)
    if not succeeded(pair, BASELINE):
        return "the baseline had no successful request"
    for metric in metrics:
        value = pair.baseline.get(metric.key)
        if metric.kind != "difference" and value is not None and value.value is not None and value.value <= 0:
            return f"{metric.metric} {metric.statistic} of the baseline is 0, so no ratio exists"
    return None


def effects(pairs: Sequence[Pair], metric: GatedMetric) -> tuple[Effect, ...] | Missing:
    """The effects of usable pairs, in their order; `Missing` as soon as one arm of one pair has no value."""
    found = []
    for pair in pairs:
        effect = _effect(pair, metric)
        if isinstance(effect, Missing):
            return effect
        found.append(effect)
    return tuple(found)


def _effect(pair: Pair, metric: GatedMetric) -> Effect | Missing:
    baseline, candidate = pair.baseline.get(metric.key), pair.candidate.get(metric.key)
    a = _number(baseline)
    if baseline is None or a is None:
        return _missing(pair, BASELINE, baseline)
    b = _number(candidate)
    if metric.kind != "difference" and (b == 0 or not succeeded(pair, CANDIDATE)):
        worst = -math.inf if metric.kind == "equivalence" else math.inf
        return Effect(pair.index, a, b, worst, worst, worst)
    if candidate is None or b is None:
        return _missing(pair, CANDIDATE, candidate)
    sign = -1.0 if metric.better == "higher" else 1.0
    d = sign * (b - a if metric.kind == "difference" else math.log(b / a))
    rises, falls = _open_ends(baseline, candidate)
    up, down = (rises, falls) if sign > 0 else (falls, rises)
    return Effect(pair.index, a, b, d, -math.inf if down else d, math.inf if up else d)


def _open_ends(baseline: Value, candidate: Value) -> tuple[bool, bool]:
    """Whether candidate over baseline may truly be higher, and lower, than the values say."""
    return candidate.above or baseline.below, candidate.below or baseline.above


def _number(value: Value | None) -> float | None:
    if value is None or value.value is None or not math.isfinite(value.value):
        return None
    return float(value.value)


def _missing(pair: Pair, arm: str, value: Value | None) -> Missing:
    reason = "not measured" if value is None or value.reason is None else value.reason
    return Missing(f"missing in the {arm} of pair {pair.index + 1} ({reason})")
