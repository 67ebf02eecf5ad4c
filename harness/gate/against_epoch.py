"""The metrics of one new run against the accepted runs of an epoch: a `MetricVerdict` each.

FAIL is decided by Holm over all gating metrics; a metric's p is the smaller of its two predictions' (whole epoch, first
runs), doubled because it was chosen. PASS needs the whole epoch's interval inside the margin, and a run that has not
drifted beyond the margin from the epoch's first runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.gate.baseline import LEAST_RUNS
from harness.gate.decision import holm
from harness.gate.pairs import MetricKey
from harness.gate.prediction import (
    Prediction,
    as_loss,
    bounds,
    detectable,
    effects,
    few_requests_explain_it,
    predict,
    runs_needed,
)
from harness.gate.rule import GatedMetric, Rule
from harness.gate.verdict import FAIL, GATING, INCONCLUSIVE, INFORMATION, PASS, MetricVerdict, PairValue
from harness.metrics.catalog import METRICS
from harness.metrics.results import Value

METHOD, BY_VALUE = "prediction", "value"


@dataclass(frozen=True)
class Accepted:
    """The runs of an epoch, in the order in which they were accepted."""

    runs: Sequence[Mapping[MetricKey, Value]]
    requests: int  # of all runs together


@dataclass(frozen=True)
class Judged:
    """One metric against the whole epoch and against its beginning."""

    metric: GatedMetric
    accepted: tuple[float | None, ...]
    candidate: Value
    whole: Prediction
    first: Prediction
    p_pass: float
    p_fail: float

    @property
    def drifted(self) -> bool:
        """Whether the run lies beyond the margin from the epoch's first runs."""
        floor, bound = bounds(self.metric)
        return not floor < self.first.d < bound

    @property
    def caught_by_drift(self) -> bool:
        """Whether the first runs say more clearly than the whole epoch that it is worse."""
        return self.first.p_fail < self.whole.p_fail


def judge_metrics(
    rule: Rule, accepted: Accepted, candidate: Mapping[MetricKey, Value], *, nothing_succeeded: bool = False
) -> list[MetricVerdict]:
    """A verdict per gating metric, in the rule's order. `nothing_succeeded`: of all the candidate's requests."""
    judged = [
        _judge(metric, accepted, candidate.get(metric.key), rule.alpha, nothing_succeeded) for metric in rule.metrics
    ]
    adjusted = holm([each.p_fail if isinstance(each, Judged) else 1.0 for each in judged])
    return [
        _verdict(each, p, rule.alpha) if isinstance(each, Judged) else each
        for each, p in zip(judged, adjusted, strict=True)
    ]


def shown_metrics(
    metrics: Sequence[GatedMetric], accepted: Accepted, candidate: Mapping[MetricKey, Value], alpha: float
) -> list[MetricVerdict]:
    """Metrics that decide nothing, for information: what has a value here and in enough accepted runs."""
    found = [_judge(metric, accepted, candidate.get(metric.key), alpha, False) for metric in metrics]
    return [_for_information(each, alpha) for each in found if isinstance(each, Judged)]


def _judge(
    metric: GatedMetric, accepted: Accepted, candidate: Value | None, alpha: float, nothing_succeeded: bool
) -> Judged | MetricVerdict:
    values = tuple(_number(run.get(metric.key), metric) for run in accepted.runs)
    usable = [value for value in values if value is not None]
    if nothing_succeeded and metric.kind == "log_ratio":
        candidate = Value(0.0, "", 0)
    if candidate is None or candidate.value is None:
        reason = "it was not measured" if candidate is None else (candidate.reason or "it has no value")
        return _undecided(metric, f"no data in this run: {reason}", len(usable))
    if len(usable) < LEAST_RUNS:
        return _undecided(metric, _too_few(len(usable)), len(usable), LEAST_RUNS - len(usable))
    return _predicted(metric, values, usable, candidate, alpha, accepted.requests)


def _predicted(
    metric: GatedMetric,
    values: tuple[float | None, ...],
    usable: Sequence[float],
    candidate: Value,
    alpha: float,
    requests: int,
) -> Judged:
    number = candidate.value or 0.0
    whole = predict(metric, effects(metric, usable, number), alpha)
    first = predict(metric, effects(metric, usable[:LEAST_RUNS], number), alpha)
    chosen = min(whole.p_fail, first.p_fail)
    p_pass, p_fail = whole.p_pass, chosen if len(usable) == LEAST_RUNS else min(1.0, 2 * chosen)
    if (candidate.above and metric.better != "higher") or (candidate.below and metric.better == "higher"):
        p_pass = 1.0  # the true value is worse than the number
    if (candidate.below and metric.better != "higher") or (candidate.above and metric.better == "higher"):
        p_fail = 1.0  # … or better
    if metric.kind == "difference" and whole.error == 0 and few_requests_explain_it(usable, requests, candidate):
        p_fail = 1.0
    return Judged(metric, values, candidate, whole, first, p_pass, p_fail)


def _number(value: Value | None, metric: GatedMetric) -> float | None:
    """A value that can be compared: known, and above 0 where ratios are taken."""
    if value is None or value.value is None or value.above or value.below:
        return None
    return value.value if metric.kind == "difference" or value.value > 0 else None


def _too_few(n: int) -> str:
    missing = LEAST_RUNS - n
    return f"{n} accepted run{' has' if n == 1 else 's have'} it, {LEAST_RUNS} are needed: {missing} missing"


def _undecided(metric: GatedMetric, reason: str, n: int, missing: int | None = None) -> MetricVerdict:
    return MetricVerdict(
        metric=metric.metric,
        statistic=metric.statistic,
        unit=METRICS[metric.metric].unit,
        role=GATING,
        kind=metric.kind,
        better=metric.better,
        status=INCONCLUSIVE,
        reason=reason,
        margin=metric.margin,
        effect=None,
        low=None,
        high=None,
        confidence=None,
        method=None,
        n=n,
        more_pairs_needed=missing,
    )


def _verdict(judged: Judged, p_fail_adjusted: float, alpha: float) -> MetricVerdict:
    metric, whole = judged.metric, judged.whole
    status = _status(judged, p_fail_adjusted, alpha)
    plain = _undecided(metric, _reason(judged, status), whole.n)
    return dataclasses.replace(
        plain,
        status=status,
        effect=as_loss(metric, whole.d),
        low=as_loss(metric, whole.low),
        high=as_loss(metric, whole.high),
        confidence=1 - 2 * alpha,
        method=METHOD if whole.error else BY_VALUE,
        p_pass=judged.p_pass,
        p_fail=judged.p_fail,
        p_fail_adjusted=p_fail_adjusted,
        minimum_detectable_effect=as_loss(metric, detectable(whole, alpha)),
        more_pairs_needed=runs_needed(metric, whole, alpha) if status == INCONCLUSIVE and whole.error else None,
        values=_values(judged),
    )


def _status(judged: Judged, p_fail_adjusted: float, alpha: float) -> str:
    if p_fail_adjusted <= alpha:
        return FAIL
    return PASS if judged.p_pass < alpha and not judged.drifted else INCONCLUSIVE


def _reason(judged: Judged, status: str) -> str:
    metric, d = judged.metric, judged.first.d if judged.caught_by_drift else judged.whole.d
    against = f"the first {judged.first.n} accepted runs" if judged.caught_by_drift else "the accepted runs"
    said = f"{in_words(metric, d)} {against}"
    margin = margin_in_words(metric)
    if status == FAIL:
        return f"{said} (margin {margin})"
    if status == PASS:
        return f"{said}, surely within the margin of {margin}"
    if judged.p_pass < 1 and judged.drifted:
        return f"{in_words(metric, judged.first.d)} the first {judged.first.n} accepted runs: it drifts"
    if judged.candidate.above or judged.candidate.below:
        return f"{said}, and truly beyond that: the value fell among failed requests"
    return f"{said}: runs vary too much to tell whether that is within the margin of {margin}"


def in_words(metric: GatedMetric, d: float) -> str:
    """An effect for people: `12.3% worse than`, `0.4 points better than`, `5.0% longer than`."""
    if not math.isfinite(d):
        return "infinitely worse than"
    loss = as_loss(metric, d) or 0.0
    if metric.kind == "equivalence":
        return f"{abs(loss):.1%} {'longer' if loss > 0 else 'shorter'} than" if abs(loss) >= 5e-4 else "as long as"
    if metric.kind == "difference":
        size = f"{abs(loss) * 100:.3g} points"
        return f"{size} {'worse' if loss > 0 else 'better'} than" if abs(loss) >= 5e-5 else "equal to"
    size = f"{abs(loss):.1%}" if loss > 0 else f"{1 - math.exp(d):.1%}"
    return f"{size} {'worse' if loss > 0 else 'better'} than" if abs(loss) >= 5e-4 else "equal to"


def margin_in_words(metric: GatedMetric) -> str:
    """`5%`, `±10%`, `1 points`."""
    if metric.kind == "difference":
        return f"{metric.margin * 100:g} point{'' if metric.margin == 0.01 else 's'}"
    return f"{'±' if metric.kind == 'equivalence' else ''}{metric.margin * 100:g}%"


def _values(judged: Judged) -> list[PairValue]:
    """Every accepted run's value, then the candidate's: no pairs, so none has a d."""
    accepted = [PairValue(index, value, None, None) for index, value in enumerate(judged.accepted)]
    return [*accepted, PairValue(len(accepted), None, judged.candidate.value, None)]


def _for_information(judged: Judged, alpha: float) -> MetricVerdict:
    shown = _verdict(judged, 1.0, alpha)
    return dataclasses.replace(
        shown,
        role=INFORMATION,
        status=INCONCLUSIVE,
        reason=f"{in_words(judged.metric, judged.whole.d)} the accepted runs; decides nothing",
        margin=None,
        p_pass=None,
        p_fail=None,
        p_fail_adjusted=None,
        more_pairs_needed=None,
    )
