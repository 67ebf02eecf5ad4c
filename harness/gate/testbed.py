"""What a test bed can honestly tell apart, from A/A pairs: nothing differs in them, so all they show is its own noise.

False alarms are counted twice: over gates that share no pair (independent, few), and over gates drawn from the same
pairs again and again (many, not independent: the interval of their share is too narrow).
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.gate.decision import Decision, decide
from harness.gate.effects import usable
from harness.gate.pairs import MetricKey, Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.spread import RESAMPLED_GATES, clopper_pearson, false_alarms, sequential, spreads
from harness.gate.verdict import FAIL, INCONCLUSIVE, PASS

DIGITS = 4
SEED = 1


def measured_testbed(
    rule: Rule, pairs: Sequence[Pair], gates: int = RESAMPLED_GATES, seed: int = SEED
) -> dict[str, Any]:
    """The content of testbed.json. Ratios 0-1; spreads of d (ln ratio, or ratio points); margins as in the rule."""
    kept = usable(pairs, rule.metrics).pairs
    apart = [sequential(own, rule) for own in disjoint(kept, rule.looks[0])]
    low, high = clopper_pearson(apart.count(FAIL), len(apart))
    drawn = false_alarms(kept, rule, seed, gates)
    found = [each for each in spreads(pairs, rule) if each.spread is not None and each.smallest_margin is not None]
    return {
        "pairs": len(kept),
        "looks": list(rule.looks),
        "alpha": rule.alpha,
        "independent_gates": len(apart),
        "false_alarms": apart.count(FAIL),
        "false_alarm_ratio_low": round(low, DIGITS),
        "false_alarm_ratio_high": round(high, DIGITS),
        "resampled_gates": drawn.gates,
        "resampled_statuses": {PASS: drawn.passed, INCONCLUSIVE: drawn.inconclusive, FAIL: drawn.failed},
        "resampled_fail_ratio_low": round(drawn.low, DIGITS),
        "resampled_fail_ratio_high": round(drawn.high, DIGITS),
        "note": drawn.note,
        "spread": {f"{each.metric}.{each.statistic}": round(each.spread or 0.0, DIGITS) for each in found},
        "smallest_honest_margins": {
            f"{each.metric}.{each.statistic}": _up(each.smallest_margin or 0.0) for each in found
        },
    }


def honest_margins(testbed: Mapping[str, Any]) -> dict[MetricKey, float]:
    """(metric, statistic) → smallest honest margin."""
    found = {}
    for name, margin in testbed.get("smallest_honest_margins", {}).items():
        metric, _, statistic = name.partition(".")
        found[metric, statistic] = float(margin)
    return found


def with_margins(rule: Rule, margins: Mapping[MetricKey, float]) -> Rule:
    """The rule with these margins, where they are larger than its own."""
    wider = [_widened(metric, margins.get(metric.key, 0.0)) for metric in rule.metrics]
    return dataclasses.replace(rule, metrics=tuple(wider))


def _widened(metric: GatedMetric, margin: float) -> GatedMetric:
    return dataclasses.replace(metric, margin=max(metric.margin, margin))


def gate_over(rule: Rule, pairs: Sequence[Pair]) -> Decision:
    """The decision as it would have come: look after look over these pairs in this order, until one decides."""
    decision = decide(pairs, rule, 1)
    for look, size in enumerate(rule.looks[1:], start=2):
        if decision.status != INCONCLUSIVE or len(pairs) < size:
            break
        decision = decide(pairs, rule, look)
    return decision


def disjoint(pairs: Sequence[Pair], size: int) -> list[Sequence[Pair]]:
    """The pairs in their order, cut into gates that share none."""
    return [pairs[start : start + size] for start in range(0, len(pairs) - size + 1, size)]


def resampled(pairs: Sequence[Pair], size: int, gates: int, seed: int) -> Iterator[list[Pair]]:
    """Gates of `size` pairs (or all there are), each a seeded draw without replacement."""
    draw = random.Random(seed)
    for _ in range(gates):
        yield draw.sample(list(pairs), min(size, len(pairs)))


def _up(value: float) -> float:
    """Rounded up: a margin that is rounded down would claim too much."""
    return float(math.ceil(value * 1000.0) / 1000.0)
