"""Known slowdowns and speed-ups put into recorded pairs, to see that the gate sees them: the gate's own test.

A loss of x makes a value where lower is better (1 + x) times as large, one where higher is better 1/(1 + x) times; a
share moves by x ratio points towards the worse; lengths change by the factor 1 + x. Pure: pairs in, pairs out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.gate import claims
from harness.gate.decision import decide
from harness.gate.pairs import Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.verdict import FAIL, PASS, MetricVerdict
from harness.metrics.results import Value

LOSSES = (-0.60, -0.10, -0.05, 0.05, 0.10, 1.50)  # 2.5 times faster … 2.5 times slower
POINTS = (-0.10, -0.05, 0.05, 0.10)  # for shares


@dataclass(frozen=True)
class SelfCheckCase:
    """One injected loss and what the gate said. `holds`: as expected."""

    metric: str
    statistic: str
    loss: float
    expectation: str
    status: str  # of the metric
    shift: float | None  # effect with the injection less the effect without it, on the scale of d
    holds: bool


def inject(pairs: Sequence[Pair], metric: GatedMetric, loss: float) -> list[Pair]:
    """The pairs with the candidate's values of one metric made worse by `loss` (better where it is below 0)."""
    changed = []
    for pair in pairs:
        value = pair.candidate.get(metric.key)
        if value is None or value.value is None:
            changed.append(pair)
        else:
            changed.append(replace(pair, candidate={**pair.candidate, metric.key: _worse(value, metric, loss)}))
    return changed


def _worse(value: Value, metric: GatedMetric, loss: float) -> Value:
    def moved(number: float | None) -> float | None:
        if number is None:
            return None
        if metric.kind == "difference":
            return min(1.0, max(0.0, number + (-loss if metric.better == "higher" else loss)))
        return number / (1 + loss) if metric.better == "higher" else number * (1 + loss)

    return replace(value, value=moved(value.value), low=moved(value.low), high=moved(value.high))


def self_check(pairs: Sequence[Pair], rule: Rule) -> list[SelfCheckCase]:
    """Every loss of LOSSES (shares: POINTS) into every gating metric of A/A pairs that have it, one at a time."""
    before = decide(pairs, rule).metrics[: len(rule.metrics)]
    cases = []
    for i, (metric, unchanged) in enumerate(zip(rule.metrics, before, strict=False)):
        for loss in POINTS if metric.kind == "difference" else LOSSES:
            if unchanged.effect is not None:
                after = decide(inject(pairs, metric, loss), rule).metrics[i]
                cases.append(_case(unchanged, after, metric, loss))
    return cases


def _case(before: MetricVerdict, after: MetricVerdict, metric: GatedMetric, loss: float) -> SelfCheckCase:
    shift = _scale(after, metric) - _scale(before, metric)
    expectation, allowed = _expected(metric, loss)
    clipped = metric.kind == "difference" and shift == 0.0  # a share of 0 cannot become better
    sign_right = (clipped and loss < 0) or shift * loss > 0
    return SelfCheckCase(
        metric.metric, metric.statistic, loss, expectation, after.status, shift, sign_right and after.status in allowed
    )


def _scale(verdict: MetricVerdict, metric: GatedMetric) -> float:
    assert verdict.effect is not None
    return claims.from_people(metric, verdict.effect)


def _expected(metric: GatedMetric, loss: float) -> tuple[str, tuple[str, ...]]:
    lowest, highest = claims.bounds(metric)
    d = claims.from_people(metric, loss)
    if d > 2 * highest or d < 2 * lowest:
        return "beyond twice the margin: never PASS", (FAIL, "INCONCLUSIVE")
    if lowest < d < highest and not math.isclose(d, highest):
        return "inside the margin: never FAIL", (PASS, "INCONCLUSIVE")
    return "from the margin to twice the margin: any verdict", (PASS, FAIL, "INCONCLUSIVE")
