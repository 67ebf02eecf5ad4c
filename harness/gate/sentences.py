"""The verdict in words: one sentence per metric, one for the gate. People first, numbers with their units."""

from __future__ import annotations

import math

from harness.gate.rule import GatedMetric
from harness.gate.verdict import FAIL, PASS, MetricVerdict


def amount(metric: GatedMetric, value: float, signed: bool = True) -> str:
    """A loss or a margin: "+7.1%", of a share "+0.8 pp" (percentage points)."""
    if math.isinf(value):
        return "unbounded" if value > 0 else "-unbounded"
    sign = "+" if signed else ""
    shown = 100 * value if abs(value) >= 5e-4 else 0.0  # no "-0.0"
    return f"{shown:{sign}.1f}{' pp' if metric.kind == 'difference' else '%'}"


def worse(metric: GatedMetric, value: float) -> str:
    """The loss as people say it."""
    if metric.kind == "equivalence":
        return f"{amount(metric, abs(value), False)} {'longer' if value >= 0 else 'shorter'}"
    if math.isinf(value):
        return "worse without limit (a value of 0, or no successful request)"
    return f"{amount(metric, abs(value), False)} {'worse' if value >= 0 else 'better'}"


def metric_reason(metric: GatedMetric, status: str, verdict: MetricVerdict) -> str:
    """Why this metric has its status."""
    assert verdict.effect is not None
    assert verdict.low is not None
    assert verdict.high is not None
    said = (
        f"{worse(metric, verdict.effect)} [{amount(metric, verdict.low)} to {amount(metric, verdict.high)}],"
        f" margin {amount(metric, metric.margin, False)}"
    )
    if status == PASS:
        return f"inside the margin: {said}"
    if status == FAIL:
        return f"beyond the margin: {said}"
    return f"cannot decide: {said}; {_what_would(verdict)}"


def _what_would(verdict: MetricVerdict) -> str:
    if verdict.more_pairs_needed is not None:
        return f"about {verdict.more_pairs_needed} more pairs would decide"
    if verdict.minimum_detectable_effect is None:
        return "values without limit, or at the margin in every pair: how many more pairs would decide is not known"
    return "so near to the margin that not even 1000 pairs would decide"


def gate_sentence(status: str, metrics: list[MetricVerdict], pairs: int) -> str:
    """The verdict of the gate in one sentence."""
    of_status = [m for m in metrics if m.status == status and m.role == "gating"]
    names = ", ".join(f"{m.metric} {m.statistic}" if m.statistic != "value" else m.metric for m in of_status)
    if not any(m.role == "gating" for m in metrics):
        return "INCONCLUSIVE: no gating metric is named."
    if status == PASS:
        return f"PASS: no gating metric is worse by more than its margin, over {pairs} pairs."
    if status == FAIL:
        return f"FAIL: the candidate is worse by more than the margin in {names}, over {pairs} pairs."
    return f"INCONCLUSIVE: {pairs} pairs cannot decide about {names}."
