"""What a gate will not be able to decide, seen before it begins or from its first pair: metrics without a value."""

from __future__ import annotations

from harness.gate.pairs import Pair
from harness.gate.rule import Rule
from harness.metrics.order_statistics import smallest_n
from harness.metrics.percentile import PERCENTILES


def lacking(rule: Rule, pair: Pair) -> list[str]:
    """A sentence for each gating metric that an arm of this pair has no value of."""
    found = []
    for metric in rule.metrics:
        values = (pair.baseline.get(metric.key), pair.candidate.get(metric.key))
        reason = next((value.reason for value in values if value is not None and value.value is None), None)
        if None in values or reason is not None:
            found.append(f"{metric.metric} {metric.statistic}: {reason or 'not measured'}")
    return found


def too_few(rule: Rule, requests: int) -> list[str]:
    """A sentence for each gating percentile that so many requests in a window cannot give."""
    found = []
    for metric in rule.metrics:
        permille = PERCENTILES.get(metric.statistic)
        if permille is not None and requests < smallest_n(permille):
            needed = f"needs {smallest_n(permille)} requests in the window"
            found.append(f"{metric.statistic} of {metric.metric} {needed}, {requests} are planned")
    return found
