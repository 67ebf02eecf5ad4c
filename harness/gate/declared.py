"""The rule that a scenario declares: its `gate:` block, or what is gated where it names no metric."""

from __future__ import annotations

from harness.analysis.objectives import request_bounds
from harness.gate.methods import gated
from harness.gate.rule import GatedMetric, Rule
from harness.metrics.results import POINT_VALUE
from harness.scenario.schema import Scenario


def rule_of(scenario: Scenario) -> Rule:
    """The rule of this scenario's gate, fixed before anything is measured."""
    gate = scenario.gate
    if gate.metrics is None:
        metrics = defaults(scenario)
    else:
        metrics = tuple(gated(each.metric, each.statistic or POINT_VALUE, each.margin) for each in gate.metrics)
    return Rule(metrics, alpha=gate.alpha, looks=tuple(gate.looks))


def defaults(scenario: Scenario) -> tuple[GatedMetric, ...]:
    """Few metrics that together leave no way to be slower unseen, each with the default margin of its kind.

    Goodput needs per-request bounds, times to tokens a stream. An open loop sends what it planned whatever becomes of
    it, so that there its share, attainment, says the same as goodput; goodput stands for both.
    """
    names = [("goodput", POINT_VALUE)] if request_bounds(scenario.objectives) else []
    if scenario.request.stream:
        names += [("time_to_first_token", "p95"), ("time_per_output_token", "p95")]
    else:
        names += [("request_latency", "p95")]
    names += [("output_token_throughput", POINT_VALUE), ("error_ratio", POINT_VALUE), ("output_tokens", "mean")]
    return tuple(gated(metric, statistic) for metric, statistic in names)
