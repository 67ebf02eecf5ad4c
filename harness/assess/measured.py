"""Run folder in, the point that a gate judges out."""

from __future__ import annotations

from harness.assess.assess import assess, scenario_of
from harness.errors import RunFolderError
from harness.gate.identity import identity_of
from harness.gate.measured import Measured, gate_point, values_of
from harness.metrics.results import Assessment
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario


def measured_point(folder: RunFolder, asked: str | None = None) -> Measured:
    """The point of a run that a gate judges. `asked`: its id, instead of the scenario's choice.

    Raises RunFolderError or ScenarioError when the run cannot be read, UsageError when no one point is meant.
    """
    manifest = folder.manifest()
    scenario = scenario_of(manifest)
    point = gate_point(manifest, scenario, asked)
    return point_of(manifest, scenario, point, assess(folder))


def measured_points(folder: RunFolder) -> list[Measured]:
    """Every point of a run, in its order, each arm for itself."""
    manifest = folder.manifest()
    scenario, assessment = scenario_of(manifest), assess(folder)
    return [point_of(manifest, scenario, point, assessment) for point in manifest.points]


def point_of(manifest: Manifest, scenario: Scenario, point: Point, assessment: Assessment) -> Measured:
    """One point of an assessed run."""
    wanted = (point.point_id, point.arm)
    summary = next((s for s in assessment.points if (s.point_id, s.arm) == wanted), None)
    if summary is None:
        raise RunFolderError(f"run {manifest.run_id} has no summary of point {point.point_id!r}")
    return Measured(
        run_id=manifest.run_id,
        scenario=scenario,
        point=point,
        identity=identity_of(manifest, scenario, point),
        values=values_of(summary),
        validity=assessment.validity[point.key],
        objectives=assessment.objectives[point.key],
        requests=sum(repetition.cohort for repetition in summary.repetitions),
    )
