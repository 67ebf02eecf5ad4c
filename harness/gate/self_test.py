"""Does the gate lie? Known slowdowns and speed-ups put into recorded pairs, and what must and must not come out.

A loss of 0.1 makes a candidate 10% worse on one metric, in that metric's own direction; -0.1 makes it 10% better. For
shares it is added in ratio points. What must hold:

- the sign: the effect moves the way that was put in, every time;
- a loss beyond twice the margin is never PASS;
- a change inside the margin is never FAIL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.gate.decision import decide
from harness.gate.effects import Missing, effects
from harness.gate.pairs import MetricKey, Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.testbed import gate_over, resampled
from harness.gate.verdict import FAIL, PASS, MetricVerdict, Verdict
from harness.metrics.results import Value

LOSSES = (0.05, -0.05, 0.10, -0.10, 1.5, -0.6)  # 5 and 10% worse and better, 2.5 times slower and faster
GATES = 20  # drawn from the recorded pairs for each injection
LEAST_LOSS = 0.10  # a slowdown of twice the margin is at least this
KEY_SLOWED: MetricKey = ("time_per_output_token", "p95")  # what an engine's injected slowdown lengthens by its share


@dataclass(frozen=True)
class Outcome:
    """What became of one loss in one metric, over all gates drawn."""

    metric: str
    statistic: str
    kind: str  # of `rule.Kind`
    loss: float
    margin: float
    gates: int
    passed: int  # by this metric
    failed: int
    wrong_signs: int

    @property
    def broken(self) -> str | None:
        """The promise that did not hold; None when all did."""
        if self.wrong_signs:
            return f"the sign was wrong {self.wrong_signs} times"
        if self.loss > 2 * self.margin and self.passed:
            return f"a loss beyond twice the margin passed {self.passed} times"
        if abs(self.loss) < self.margin and self.failed:
            return f"a change inside the margin failed {self.failed} times"
        return None


def outcomes(rule: Rule, pairs: Sequence[Pair], gates: int = GATES, seed: int = 1) -> Iterator[Outcome]:
    """Every loss in every gating metric that the pairs hold.

    `rule`: its margins must be honest for these pairs (`testbed`).
    """
    usable = [pair for pair in pairs if not pair.invalid]
    sets = list(resampled(usable, rule.looks[-1], gates, seed))
    held = [metric for metric in rule.metrics if not isinstance(effects(usable, metric), Missing)]
    rule = dataclasses.replace(rule, metrics=tuple(held))
    for metric in held:
        for loss in losses_of(metric):
            yield _outcome(rule, metric, loss, sets)


def losses_of(metric: GatedMetric) -> list[float]:
    """The standard losses and twice the margin; of a share, those that leave it one."""
    twice = max(LEAST_LOSS, 2 * metric.margin) * 1.0001  # beyond, not at
    if metric.kind == "difference":
        return [0.05, twice]
    near = [loss for loss in LOSSES if abs(loss - twice) > 0.001]
    return sorted([*near, twice])


def slowdown_of(rule: Rule) -> float:
    """Twice the margin of what a slowed engine shows most plainly."""
    margins = [metric.margin for metric in rule.metrics if metric.key == KEY_SLOWED]
    return max(LEAST_LOSS, 2 * max(margins, default=0.0))


def injected(pairs: Sequence[Pair], metric: GatedMetric, loss: float) -> list[Pair]:
    """The pairs as if the candidate were worse by `loss` on this metric."""
    return [
        dataclasses.replace(pair, candidate={**pair.candidate, metric.key: _worse(pair, metric, loss)})
        for pair in pairs
    ]


def _worse(pair: Pair, metric: GatedMetric, loss: float) -> Value:
    value = pair.candidate[metric.key]
    if value.value is None:
        return value
    if metric.kind == "difference":
        worse = value.value + (loss if metric.better != "higher" else -loss)
        return dataclasses.replace(value, value=min(1.0, max(0.0, worse)))
    factor = 1 / (1 + loss) if metric.better == "higher" else 1 + loss
    return dataclasses.replace(value, value=value.value * factor)


def _outcome(rule: Rule, metric: GatedMetric, loss: float, sets: Sequence[list[Pair]]) -> Outcome:
    said = [_of(gate_over(rule, injected(own, metric, loss)), metric.key) for own in sets]
    wrong = sum(not _moved(rule, metric, loss, own) for own in sets)
    return Outcome(
        metric=metric.metric,
        statistic=metric.statistic,
        kind=metric.kind,
        loss=loss,
        margin=metric.margin,
        gates=len(sets),
        passed=sum(each.status == PASS for each in said),
        failed=sum(each.status == FAIL for each in said),
        wrong_signs=wrong,
    )


def _moved(rule: Rule, metric: GatedMetric, loss: float, own: Sequence[Pair]) -> bool:
    """Whether the effect moved the way of the loss."""
    before = _of(decide(rule, own), metric.key).effect
    after = _of(decide(rule, injected(own, metric, loss)), metric.key).effect
    return before is not None and after is not None and (after > before) == (loss > 0)


def _of(verdict: Verdict, key: MetricKey) -> MetricVerdict:
    return next(each for each in verdict.metrics if (each.metric, each.statistic) == key)
