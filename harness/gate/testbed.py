"""What a test bed can honestly tell apart, from A/A pairs: nothing differs in them, so all they show is its own noise.

The smallest honest margin of a metric is twice the smallest loss that a gate of this rule would notice at its last
look. False alarms are counted twice: over gates that share no pair (independent, few), and over gates drawn from the
same pairs again and again (many, not independent: their share has no interval).
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from scipy import stats

from harness.gate.decision import decide
from harness.gate.effects import Missing, effects
from harness.gate.pairs import Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.verdict import FAIL, GATING, INCONCLUSIVE, PASS, Verdict

RESAMPLED_GATES = 60
CONFIDENCE = 0.95  # of the interval of the false-alarm ratio
DIGITS = 3


def measured_testbed(rule: Rule, pairs: Sequence[Pair], gates: int = RESAMPLED_GATES, seed: int = 1) -> dict[str, Any]:
    """The content of testbed.json. Ratios 0-1, spreads and margins as relative losses (of shares: ratio points)."""
    usable = [pair for pair in pairs if not pair.invalid]
    apart = [gate_over(rule, own) for own in disjoint(usable, rule.looks[0])]
    sets = list(resampled(usable, rule.looks[-1], gates, seed))
    drawn, detectable = [gate_over(rule, own) for own in sets], _detectable([decide(rule, own) for own in sets])
    alarms = sum(verdict.status == FAIL for verdict in apart)
    low, high = clopper_pearson(alarms, len(apart))
    return {
        "pairs": len(usable),
        "looks": list(rule.looks),
        "alpha": rule.alpha,
        "independent_gates": len(apart),
        "false_alarms": alarms,
        "false_alarm_ratio_low": low,
        "false_alarm_ratio_high": high,
        "resampled_gates": len(drawn),
        "resampled_statuses": {status: sum(v.status == status for v in drawn) for status in (PASS, INCONCLUSIVE, FAIL)},
        "spread": {name_of(m): value for m in rule.metrics if (value := _spread(usable, m)) is not None},
        "minimum_detectable_effects": detectable,
        "smallest_honest_margins": {name: _up(2 * value) for name, value in detectable.items()},
    }


def honest_margins(testbed: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """(metric, statistic) → smallest honest margin."""
    found = {}
    for name, margin in testbed.get("smallest_honest_margins", {}).items():
        metric, _, statistic = name.partition(".")
        found[metric, statistic] = float(margin)
    return found


def with_margins(rule: Rule, margins: Mapping[tuple[str, str], float]) -> Rule:
    """The rule with these margins, where they are larger than its own."""
    wider = [_widened(metric, margins.get(metric.key, 0.0)) for metric in rule.metrics]
    return dataclasses.replace(rule, metrics=tuple(wider))


def _widened(metric: GatedMetric, margin: float) -> GatedMetric:
    return dataclasses.replace(metric, margin=max(metric.margin, margin))


def gate_over(rule: Rule, pairs: Sequence[Pair]) -> Verdict:
    """The verdict as it would have been: look after look over these pairs in this order, until one decides."""
    looks = [look for look in rule.looks if look <= len(pairs)] or [len(pairs)]
    verdict = decide(rule, pairs[: looks[0]])
    for look in looks[1:]:
        if verdict.status != INCONCLUSIVE:
            break
        verdict = decide(rule, pairs[:look])
    return verdict


def disjoint(pairs: Sequence[Pair], size: int) -> list[Sequence[Pair]]:
    """The pairs in their order, cut into gates that share none."""
    return [pairs[start : start + size] for start in range(0, len(pairs) - size + 1, size)]


def resampled(pairs: Sequence[Pair], size: int, gates: int, seed: int) -> Iterator[list[Pair]]:
    """Gates of `size` pairs (or all there are), each a seeded draw without replacement."""
    draw = random.Random(seed)
    for _ in range(gates):
        yield draw.sample(list(pairs), min(size, len(pairs)))


def clopper_pearson(alarms: int, gates: int) -> tuple[float, float]:
    """The exact interval of a ratio; [0, 1] when there is nothing to tell from."""
    if gates == 0:
        return 0.0, 1.0
    found = stats.binomtest(alarms, gates).proportion_ci(CONFIDENCE, method="exact")
    return round(float(found.low), DIGITS), round(float(found.high), DIGITS)


def name_of(metric: GatedMetric) -> str:
    """`time_to_first_token.p95`."""
    return f"{metric.metric}.{metric.statistic}"


def _spread(pairs: Sequence[Pair], metric: GatedMetric) -> float | None:
    """The standard deviation of d over the pairs."""
    found = effects(pairs, metric)
    if isinstance(found, Missing) or len(found) < 2 or not all(math.isfinite(effect.d) for effect in found):
        return None
    mean = sum(effect.d for effect in found) / len(found)
    return round(math.sqrt(sum((effect.d - mean) ** 2 for effect in found) / (len(found) - 1)), DIGITS + 1)


def _detectable(gates: Sequence[Verdict]) -> dict[str, float]:
    """The middle one of what gates at their last look would have noticed."""
    seen: dict[str, list[float]] = {}
    for verdict in gates:
        for metric in verdict.metrics:
            value = metric.minimum_detectable_effect
            if metric.role == GATING and value is not None and math.isfinite(value):
                seen.setdefault(f"{metric.metric}.{metric.statistic}", []).append(value)
    return {name: round(float(median(values)), DIGITS + 1) for name, values in seen.items()}


def _up(value: float) -> float:
    """Rounded up: a margin that is rounded down would claim too much."""
    return float(math.ceil(value * 10.0**DIGITS) / 10.0**DIGITS)
