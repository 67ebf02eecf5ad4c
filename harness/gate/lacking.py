"""What a gate will not be able to decide, seen from its first pair: metrics without a value, each with the reason."""

from __future__ import annotations

from harness.gate.pairs import Pair
from harness.gate.rule import Rule


def lacking(rule: Rule, pair: Pair) -> list[str]:
    """A sentence for each gating metric that an arm of this pair has no value of."""
    found = []
    for metric in rule.metrics:
        values = (pair.baseline.get(metric.key), pair.candidate.get(metric.key))
        reason = next((value.reason for value in values if value is not None and value.value is None), None)
        if None in values or reason is not None:
            found.append(f"{metric.metric} {metric.statistic}: {reason or 'not measured'}")
    return found
