"""`gate run`: one run against a baseline's current epoch, as a `Verdict`. Pure.

The weaker form: no fresh measurement of the baseline stands beside the candidate's, so that whatever changed on the
test bed since the runs were accepted looks like a change of the candidate.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.gate.against_epoch import Accepted, judge_metrics, shown_metrics
from harness.gate.baseline import LEAST_RUNS, Baseline, Epoch
from harness.gate.comparable import (
    Identity,
    blocking_differences,
    blocks,
    compare,
    in_words,
    other_differences,
)
from harness.gate.measured import Measured
from harness.gate.methods import gated
from harness.gate.rule import Rule
from harness.gate.stored_values import from_store, key_of
from harness.gate.verdict import (
    FAIL,
    GATING,
    INCONCLUSIVE,
    INVALID,
    NOT_COMPARABLE,
    PASS,
    FieldComparison,
    MetricVerdict,
    Verdict,
)
from harness.metrics.results import POINT_VALUE

MOST_NAMED = 3  # differences in the sentence; all stand in the table
PAIR = "harness gate pair measures baseline and candidate in turns, which is surer"


def judge_run(
    measured: Measured, baseline: Baseline, rule: Rule, *, baseline_name: str, declared: Collection[str] = ()
) -> Verdict:
    """The verdict of a run over its point. `declared`: identity fields, or groups, that are the treatment."""
    epoch = baseline.current
    identity = compare(Identity(epoch.identity), measured.identity, declared)
    metrics: list[MetricVerdict] = []
    if measured.validity.status == INVALID and not measured.no_success:
        status, sentence, next_step = _invalid(measured)
    elif blocking_differences(identity):
        status, sentence, next_step = _not_comparable(identity)
    else:
        metrics = _metrics(measured, epoch, rule)
        status, sentence, next_step = _overall(measured, metrics, epoch)
    return Verdict(
        gate="run",
        status=status,
        sentence=f"{status}: {sentence}",
        scenario=measured.scenario.name,
        point_id=measured.point.point_id,
        baseline=f"{baseline_name}, epoch {epoch.epoch}: {_runs(len(epoch.runs))}",
        candidate=measured.run_id,
        metrics=metrics,
        identity=identity,
        alpha=rule.alpha,
        warnings=_warnings(measured, identity, metrics),
        next_step=next_step,
        testbed=baseline.testbed,
    )


def accepted_runs(epoch: Epoch) -> Accepted:
    """What the accepted runs of an epoch measured, in the units of the catalog."""
    return Accepted([from_store(run.values) for run in epoch.runs], sum(run.requests for run in epoch.runs))


def _metrics(measured: Measured, epoch: Epoch, rule: Rule) -> list[MetricVerdict]:
    accepted = accepted_runs(epoch)
    gating = judge_metrics(rule, accepted, measured.values, nothing_succeeded=measured.no_success)
    if measured.no_success:  # what such a run still has are limits, not values
        return gating
    decide = {metric.key for metric in rule.metrics}
    keys = dict.fromkeys(key for run in epoch.runs for name in sorted(run.values) if (key := key_of(name)) is not None)
    others = [gated(*key) for key in keys if key not in decide]
    return [*gating, *shown_metrics(others, accepted, measured.values, rule.alpha)]


Said = tuple[str, str, str | None]  # status, sentence, next step


def _invalid(measured: Measured) -> Said:
    worst = [reason for reason in measured.validity.reasons if reason.severity == INVALID]
    return INVALID, f"the run cannot be believed: {worst[0].message}", worst[0].advice


def _not_comparable(identity: Sequence[FieldComparison]) -> Said:
    differences = blocking_differences(identity)
    named = "; ".join(in_words(field) for field in differences[:MOST_NAMED])
    more = f"; and {len(differences) - MOST_NAMED} more" if len(differences) > MOST_NAMED else ""
    sentence = f"the run and the accepted ones are not of one kind: {named}{more}"
    return (
        NOT_COMPARABLE,
        sentence,
        (
            "what is on trial is declared with --declare FIELD; a lasting change begins a new epoch: "
            "harness baseline accept --new-epoch"
        ),
    )


def _overall(measured: Measured, metrics: Sequence[MetricVerdict], epoch: Epoch) -> Said:
    gating = [metric for metric in metrics if metric.role == GATING]
    failed = [metric for metric in gating if metric.status == FAIL]
    open_ones = [metric for metric in gating if metric.status == INCONCLUSIVE]
    runs = len(epoch.runs)
    if failed and measured.no_success:
        return FAIL, f"none of this run's {measured.requests} requests succeeded", "read the errors of the run"
    if failed:
        return FAIL, f"surely beyond the margin: {_listed(failed)}", f"repeat the run; {PAIR}"
    if runs < LEAST_RUNS:
        missing = LEAST_RUNS - runs
        sentence = f"the epoch holds {_runs(runs)}, {LEAST_RUNS} are needed: {missing} missing"
        return INCONCLUSIVE, sentence, f"harness baseline accept this run, if it is sound, and {missing - 1} more"
    if open_ones or not gating:
        return INCONCLUSIVE, _listed(open_ones) or "the scenario names no metric that decides", _next_step(open_ones)
    names = ", ".join(name_of(metric) for metric in gating)
    return PASS, f"within the margins of what {_runs(runs)} predict: {names}", None


def _next_step(open_ones: Sequence[MetricVerdict]) -> str:
    needed = [metric.more_pairs_needed for metric in open_ones]
    if not needed or None in needed:
        return PAIR
    more = max(n for n in needed if n is not None)
    return f"with {more} more accepted run{'' if more == 1 else 's'} such a run could be told; {PAIR}"


def _listed(metrics: Sequence[MetricVerdict]) -> str:
    return "; ".join(f"{name_of(metric)}: {metric.reason}" for metric in metrics)


def name_of(metric: MetricVerdict) -> str:
    """`time_to_first_token p95`, `goodput`."""
    return metric.metric if metric.statistic == POINT_VALUE else f"{metric.metric} {metric.statistic}"


def _runs(n: int) -> str:
    return f"{n} accepted run{'' if n == 1 else 's'}"


def _warnings(measured: Measured, identity: Sequence[FieldComparison], metrics: Sequence[MetricVerdict]) -> list[str]:
    said = [f"{reason.message} ({reason.advice})" for reason in measured.validity.reasons]
    said += [f"differs: {in_words(field)}" for field in other_differences(identity)]
    half_known = [f.name for f in identity if f.status == "unknown" and f.baseline != f.candidate and blocks(f.name)]
    if half_known:
        said.append(f"known on one side only, so it may differ: {', '.join(half_known)}")
    for metric in metrics:
        seen = metric.minimum_detectable_effect
        if metric.role == GATING and seen is not None and metric.margin is not None and metric.margin < 2 * seen:
            said.append(
                f"{name_of(metric)}: the margin {metric.margin:g} is below twice what such a run can detect "
                f"({seen:.2g}): a small loss stays INCONCLUSIVE"
            )
    return said
