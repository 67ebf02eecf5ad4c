"""Pairs drawn for tests: values with a chosen loss and noise per metric."""

import math

from harness.gate.methods import gated
from harness.gate.pairs import Pair
from harness.gate.rule import Rule
from harness.metrics.results import Value

TTFT, THROUGHPUT = gated("time_to_first_token", "p95"), gated("output_token_throughput", "value")
ERRORS, LENGTH = gated("error_ratio", "value"), gated("output_tokens", "mean")
WHOLE = Rule((gated("goodput", "value"), TTFT, gated("time_per_output_token", "p95"), THROUGHPUT, ERRORS, LENGTH))


def value(number, **more):
    return Value(number, "", 1000, **more)


def pair(index, d, rule=WHOLE, scale=100.0):
    """One pair; `d` maps metrics to ln ratios (differences for shares), above 0 worse; 0 where it is silent."""
    baseline, candidate = {}, {}
    for metric in rule.metrics:
        loss, sign = d.get(metric, 0.0), -1 if metric.better == "higher" else 1
        before = 0.0 if metric.kind == "difference" else scale
        after = sign * loss if metric.kind == "difference" else before * math.exp(sign * loss)
        baseline[metric.key], candidate[metric.key] = value(before), value(after)
    return Pair(index, "baseline", baseline, candidate)


def pairs(losses, metric=TTFT, rule=None, scale=100.0):
    """One pair per loss of one metric; the rule holds that metric alone unless another is given."""
    return [pair(i, {metric: d}, rule or Rule((metric,)), scale) for i, d in enumerate(losses)]


def noisy(rule, truth, spread, random, n):
    """n pairs with relative losses `truth` and normal noise on every ratio."""
    return [
        pair(
            i,
            {
                m: math.log1p(truth.get(m, 0.0)) + (random.normal(0, spread) if m.kind == "log_ratio" else 0.0)
                for m in rule.metrics
            },
            rule,
        )
        for i in range(n)
    ]
