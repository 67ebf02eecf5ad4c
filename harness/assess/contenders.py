"""What the configurations of an unfinished sweep gave so far, as the rule of pruning wants it."""

from __future__ import annotations

import math

from harness.analysis.evidence import Beside
from harness.analysis.pruning import Place, Seen
from harness.assess.answer import answer_of
from harness.assess.assess import assess_tables, calibration_of, scenario_of
from harness.metrics.results import POINT_VALUE, Assessment, RepetitionSummary
from harness.records.calibration import Calibration
from harness.records.manifest import Manifest, Point
from harness.records.schemas import TELEMETRY
from harness.records.store import RunFolder

Contenders = dict[str, dict[Place, Seen]]  # deployment id → what was seen at each load
RATE, FIRST = "output_token_throughput", "time_to_first_token"


def contenders(folder: RunFolder, manifest: Manifest) -> tuple[Contenders, float]:
    """(what each deployment gave where it was measured, the drift of the reference so far; 0 before its second visit).

    A point of which a repetition gave no throughput or no TTFT is left out: nothing is beyond doubt about it.
    """
    scenario, profile = scenario_of(manifest), calibration_of(folder)
    calibration = profile if isinstance(profile, Calibration) else None
    # Not the telemetry: reading it merges its parts, and the observer of this sweep is still writing one.
    plan = folder.plan() if (folder.path / "plan.parquet").exists() else None
    beside = Beside(load=scenario.load, plan=plan, calibration=calibration)
    return of_assessment(manifest, assess_tables(manifest, scenario, folder.requests(), beside))


def of_assessment(manifest: Manifest, assessment: Assessment) -> tuple[Contenders, float]:
    """As `contenders`, from what was assessed."""
    answer = answer_of(manifest, scenario_of(manifest), assessment, TELEMETRY.empty_table())
    if answer is None:
        return {}, 0.0
    points = {point.point_id: point for each in answer.workloads for c in each.configurations for point in c.points}
    found: Contenders = {}
    for summary in assessment.points:
        point, shown = manifest.point(summary.point_id), points.get(summary.point_id)
        rates, firsts = _rates(summary.repetitions), _firsts(summary.repetitions)
        if point.purpose == "result" and shown is not None and rates and firsts:
            seen = Seen(rates, firsts, shown.maximised.value or 0.0, shown.why_not is None)
            found.setdefault(point.deployment_id, {})[_place(point)] = seen
    drift = answer.drift.spread if answer.drift is not None else None
    return found, drift or 0.0


def _place(point: Point) -> Place:
    return point.workload, float(point.concurrency or point.request_rate_per_s or 0)


def _rates(repetitions: list[RepetitionSummary]) -> tuple[float, ...]:
    values = [r.metrics[RATE][POINT_VALUE].value for r in repetitions if r.complete]
    return tuple(v for v in values if v is not None) if None not in values else ()


def _firsts(repetitions: list[RepetitionSummary]) -> tuple[float, ...]:
    values = [r.metrics[FIRST]["p50"] for r in repetitions if r.complete]
    if any(value.value is None for value in values):
        return ()
    return tuple(math.inf if v.above else v.value for v in values if v.value is not None)
