"""Run folder in, the verdict over its objectives out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.objective_counts import SHARES, Counted, counted
from harness.analysis.validity import INVALID
from harness.assess.assess import scenario_of
from harness.errors import UsageError
from harness.gate.objectives import CONFIDENCE, Evidence, judge_objectives
from harness.gate.verdict import Verdict
from harness.metrics.bounds import bound_from
from harness.metrics.catalog import METRICS
from harness.metrics.columns import by_repetition
from harness.metrics.repetition import Repetition
from harness.metrics.results import POINT_VALUE, Assessment, Validity
from harness.metrics.summary import repetitions, summarise
from harness.metrics.window import STOPPED_SATURATED
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.objective import Objective


def objectives_verdict(
    folder: RunFolder, assessment: Assessment, *, asked: str | None = None, confidence: float = CONFIDENCE
) -> Verdict:
    """The verdict over every objective of the point `asked`, or of all points. Raises UsageError without any."""
    manifest = folder.manifest()
    scenario, points = scenario_of(manifest), _points(manifest, asked)
    groups: list[tuple[str | None, Sequence[Objective]]] = [(None, scenario.objectives)]
    groups += [(tenant.name, tenant.objectives) for tenant in scenario.tenants]
    requests = folder.requests()
    evidence = [
        one
        for tenant, objectives in groups
        if (bounding := _bounding(objectives))
        for one in _evidence(manifest, points, _of(requests, tenant), bounding, tenant)
    ]
    if not evidence:
        raise UsageError(
            f"scenario {scenario.name} states no objective that bounds a point",
            hint="add e.g. `objectives: [{metric: time_to_first_token, statistic: p95, at_most_ms: 500}]` and run it",
        )
    return judge_objectives(
        evidence,
        list(_invalid(assessment, points)),
        scenario=scenario.name,
        run=manifest.run_id,
        confidence=confidence,
    )


def _points(manifest: Manifest, asked: str | None) -> list[Point]:
    if asked is None:
        return list(manifest.points)
    found = [point for point in manifest.points if point.point_id == asked]
    if not found:
        known = ", ".join(sorted({point.point_id for point in manifest.points}))
        raise UsageError(f"run {manifest.run_id} has no point {asked!r}", hint=f"the points of this run: {known}")
    return found


def _bounding(objectives: Sequence[Objective]) -> list[Objective]:
    """Those that bound a point; bounds on single requests alone show in goodput and attainment."""
    return [o for o in objectives if o.statistic is not None or METRICS[o.metric].level == "point"]


def _of(requests: pa.Table, tenant: str | None) -> pa.Table:
    return requests if tenant is None else requests.filter(pc.equal(requests["tenant"], tenant))


def _invalid(assessment: Assessment, points: Sequence[Point]) -> Iterator[str]:
    for point in points:
        judged = assessment.validity[point.key]
        if judged.status == INVALID and not _only_failed(judged):
            reasons = "; ".join(reason.message for reason in judged.reasons if reason.severity == INVALID)
            yield f"{point.key} is INVALID: {reasons}"


def _only_failed(judged: Validity) -> bool:
    """Whether nothing is wrong but that no request ended well: that is an answer, and the objectives give it."""
    return {reason.code for reason in judged.reasons if reason.severity == INVALID} == {"no_success"}


def _evidence(
    manifest: Manifest, points: Sequence[Point], requests: pa.Table, objectives: Sequence[Objective], tenant: str | None
) -> Iterator[Evidence]:
    bounds = [bound_from(o.metric, *o.bound) for o in objectives if METRICS[o.metric].level == "request"]
    tables = by_repetition(requests)
    summaries = {summary.key: summary for summary in summarise(manifest, requests, bounds)}
    for point in points:
        measured = [(m, r) for m, r in repetitions(manifest, point, tables, bounds) if m.complete]
        whole = [r for _, r in measured if r is not None]
        saturated = any(m.ended == STOPPED_SATURATED for m, _ in measured)
        any_ok = not any(bool(r.cohort.any()) for r in whole) or any(bool((r.cohort & r.rows.ok).any()) for r in whole)
        own = [repetition for repetition in summaries[point.key].repetitions if repetition.complete]
        for objective in objectives:
            values = [one.metrics[objective.metric][objective.statistic or POINT_VALUE] for one in own]
            yield Evidence(
                point_id=point.key,
                bound=bound_from(objective.metric, *objective.bound),
                statistic=objective.statistic,
                counts=_counts(whole, objective),
                values=[value.value for value in values],
                censored=any(value.above or value.below for value in values),
                tenant=tenant,
                saturated=saturated,
                any_ok=any_ok,
            )


def _counts(whole: Sequence[Repetition], objective: Objective) -> list[Counted]:
    if objective.statistic not in SHARES:
        return []
    bound = bound_from(objective.metric, *objective.bound)
    return [counted(r, bound, SHARES[objective.statistic]) for r in whole]
