"""Does the gate lie? Known slowdowns and speed-ups put into recorded pairs, and what must and must not come out.

What is put in, and how, is `injection`'s: a loss of 0.1 makes a candidate 10% worse on one metric. What must hold over
gates that are drawn from the pairs and look as often as the rule says:

- the sign: the effect moves the way that was put in, every time;
- a loss beyond twice the margin is never PASS;
- a change inside the margin is never FAIL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.gate.decision import Decision, decide
from harness.gate.effects import Missing, effects, usable
from harness.gate.injection import LOSSES, POINTS, inject
from harness.gate.pairs import MetricKey, Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.testbed import SEED, gate_over, resampled
from harness.gate.verdict import FAIL, PASS, MetricVerdict

GATES = 5  # drawn from the recorded pairs for each injection
LEAST_LOSS = 0.10  # a slowdown of twice the margin is at least this
BEYOND = 1.0001  # beyond twice the margin, not at it
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


def outcomes(rule: Rule, pairs: Sequence[Pair], gates: int = GATES, seed: int = SEED) -> Iterator[Outcome]:
    """Every loss in every gating metric that the pairs hold.

    `rule`: its margins must be honest for these pairs (`testbed`).
    """
    kept = usable(pairs, rule.metrics).pairs
    sets = list(resampled(kept, rule.looks[-1], gates, seed))
    held = [metric for metric in rule.metrics if not isinstance(effects(kept, metric), Missing)]
    rule = dataclasses.replace(rule, metrics=tuple(held))
    for metric in held:
        for loss in losses_of(metric):
            yield _outcome(rule, metric, loss, sets)


def losses_of(metric: GatedMetric) -> list[float]:
    """The standard losses and twice the margin; of a share, those that leave it one."""
    twice = max(LEAST_LOSS, 2 * metric.margin) * BEYOND
    standard = [loss for loss in POINTS if loss > 0] if metric.kind == "difference" else LOSSES
    return sorted([*(loss for loss in standard if abs(loss - twice) > 0.001), twice])


def slowdown_of(rule: Rule) -> float:
    """Twice the margin of what a slowed engine shows most plainly."""
    margins = [metric.margin for metric in rule.metrics if metric.key == KEY_SLOWED]
    return max(LEAST_LOSS, 2 * max(margins, default=0.0))


def _outcome(rule: Rule, metric: GatedMetric, loss: float, sets: Sequence[list[Pair]]) -> Outcome:
    said = [_of(gate_over(rule, inject(own, metric, loss)), metric.key) for own in sets]
    return Outcome(
        metric=metric.metric,
        statistic=metric.statistic,
        kind=metric.kind,
        loss=loss,
        margin=metric.margin,
        gates=len(sets),
        passed=sum(each.status == PASS for each in said),
        failed=sum(each.status == FAIL for each in said),
        wrong_signs=sum(not _moved(rule, metric, loss, own) for own in sets),
    )


def _moved(rule: Rule, metric: GatedMetric, loss: float, own: Sequence[Pair]) -> bool:
    """Whether the effect moved the way of the loss."""
    before = _of(decide(own, rule), metric.key).effect
    after = _of(decide(inject(own, metric, loss), rule), metric.key).effect
    return before is not None and after is not None and (after > before) == (loss > 0)


def _of(decision: Decision, key: MetricKey) -> MetricVerdict:
    return next(each for each in decision.metrics if (each.metric, each.statistic) == key)
