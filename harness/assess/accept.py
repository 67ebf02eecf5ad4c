"""`baseline accept`: a run becomes one of those that later runs are judged against, or is refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.assess import baseline_files
from harness.errors import Ending, NotAccepted, UsageError
from harness.gate.baseline import Baseline, Epoch, begun, first_epoch, with_epoch, with_run
from harness.gate.comparable import Identity, blocking_differences, compare, in_words
from harness.gate.declared import rule_of
from harness.gate.measured import Measured
from harness.gate.run_gate import judge_run
from harness.gate.stored_values import to_store
from harness.gate.verdict import FAIL, INCONCLUSIVE, INVALID, PASS
from harness.metrics.catalog import METRICS_VERSION
from harness.metrics.results import POINT_VALUE

MISSED = "missed"


@dataclass(frozen=True)
class Acceptance:
    """Who accepts, when, why; stored with the run."""

    by: str
    at: str  # UTC, 2026-01-31T12:00:00Z
    commit: str | None
    reason: str
    override: bool = False
    new_epoch: bool = False


@dataclass(frozen=True)
class Accepted:
    """Where the run is now, and what the gate and the objectives said of it."""

    path: Path
    baseline: Baseline
    verdict: str
    why: str


def accept(root: Path, measured: Measured, acceptance: Acceptance) -> Accepted:
    """Append the run to the current epoch of its baseline, or open one.

    Raises UsageError (twice the same run, no reason), or NotAccepted for a run that is INVALID, not comparable with the
    epoch, or FAIL without `override`. Nothing is written then.
    """
    if not acceptance.reason.strip():
        raise UsageError("an accepted run needs a reason", hint='say why: --reason "first run after the upgrade"')
    _require_valid(measured)
    path = baseline_files.path_for(root, measured)
    with baseline_files.locked(path.parent):
        baseline = baseline_files.load(path) if path.exists() else None
        verdict, why = _judged(measured, baseline, path, acceptance)
        if verdict == FAIL and not acceptance.override:
            raise NotAccepted(
                f"run {measured.run_id} is FAIL and was not accepted: {why}",
                Ending.FAIL,
                hint="if that is to be the new normal: --override with a --reason",
            )
        grown = _with(baseline, measured, acceptance, verdict)
        baseline_files.save(path, grown)
    return Accepted(path, grown, verdict, why)


def _require_valid(measured: Measured) -> None:
    if measured.validity.status != INVALID:
        return
    worst = next(reason for reason in measured.validity.reasons if reason.severity == INVALID)
    raise NotAccepted(
        f"run {measured.run_id} is INVALID and cannot be a baseline: {worst.message}", Ending.INVALID, hint=worst.advice
    )


def _judged(measured: Measured, baseline: Baseline | None, path: Path, acceptance: Acceptance) -> tuple[str, str]:
    """(PASS, FAIL or INCONCLUSIVE, why) from the objectives, and from the gate where the run joins an epoch."""
    if baseline is not None and measured.run_id in baseline.run_ids:
        raise UsageError(f"run {measured.run_id} is in {path} already", hint="accept another run")
    missed = [result for result in measured.objectives if result.status == MISSED]
    if missed:
        names = ", ".join(" ".join(filter(None, (result.metric, result.statistic))) for result in missed)
        return FAIL, f"objectives missed: {names}"
    alone = (PASS, "its objectives are met") if measured.objectives else (INCONCLUSIVE, "there is nothing before it")
    if baseline is None:
        return alone
    if not acceptance.new_epoch:
        _require_same_kind(measured, baseline.current, path)
    verdict = judge_run(measured, baseline, rule_of(measured.scenario), baseline_name=str(path))
    if acceptance.new_epoch and verdict.status != FAIL:  # of the same kind and slower: a new epoch must not hide that
        return alone
    return verdict.status, verdict.sentence.partition(": ")[2]


def _require_same_kind(measured: Measured, epoch: Epoch, path: Path) -> None:
    differences = blocking_differences(compare(Identity(epoch.identity), measured.identity))
    if not differences:
        return
    named = "; ".join(in_words(field) for field in differences)
    raise NotAccepted(
        f"run {measured.run_id} is not of the kind of epoch {epoch.epoch} of {path}: {named}",
        Ending.NOT_COMPARABLE,
        hint="a lasting change begins a new epoch: --new-epoch",
    )


def _with(baseline: Baseline | None, measured: Measured, acceptance: Acceptance, verdict: str) -> Baseline:
    run = _run(measured, acceptance, verdict)
    if baseline is not None and not acceptance.new_epoch:
        return with_run(baseline, run)
    epoch = first_epoch(acceptance.reason, measured.point.point_id, METRICS_VERSION, measured.identity, run)
    if baseline is not None:
        return with_epoch(baseline, epoch)
    target, hardware = baseline_files.target_name(measured), baseline_files.hardware_name(measured)
    return begun(measured.scenario.name, target, hardware, epoch)


def _run(measured: Measured, acceptance: Acceptance, verdict: str) -> dict[str, object]:
    gated = [metric.key for metric in rule_of(measured.scenario).metrics]
    bounded = [(o.metric, o.statistic or POINT_VALUE) for o in measured.objectives]
    return {
        "run_id": measured.run_id,
        "accepted_at": acceptance.at,
        "accepted_by": acceptance.by,
        "commit": acceptance.commit,
        "reason": acceptance.reason.strip(),
        "verdict": verdict,
        "override": acceptance.override and verdict == FAIL,
        "requests": measured.requests,
        "values": to_store(measured.values, [*gated, *bounded]),
    }
