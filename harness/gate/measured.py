"""One measured point of a run, as a gate looks at it; and which point of a run that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.gate.comparable import Identity
from harness.gate.pairs import MetricKey
from harness.metrics.results import ObjectiveResult, PointSummary, Validity, Value
from harness.records.manifest import Manifest, Point
from harness.scenario.schema import Scenario


@dataclass(frozen=True)
class Measured:
    """What one run says about one point. Values are in the units of the catalog."""

    run_id: str
    scenario: Scenario
    point: Point
    identity: Identity
    values: Mapping[MetricKey, Value]
    validity: Validity
    objectives: Sequence[ObjectiveResult]
    requests: int  # of the cohort, all repetitions together

    @property
    def no_success(self) -> bool:
        """Whether no request ended well, which is all that is wrong: the measurement itself is sound."""
        worst = [reason.code for reason in self.validity.reasons if reason.severity == "INVALID"]
        return worst == ["no_success"]


def values_of(summary: PointSummary) -> dict[MetricKey, Value]:
    """Every value of a point by metric and statistic."""
    return {(name, key): value for name, values in summary.metrics.items() for key, value in values.items()}


def gate_point(manifest: Manifest, scenario: Scenario, asked: str | None = None) -> Point:
    """The one point that a gate judges: `asked`, else the scenario's `gate: {point}`, else the only one.

    Raises UsageError with the list of points when it is none of them, or when there are several and none is named.
    """
    points = {point.point_id: point for point in manifest.points}
    listed = f"the points of this run: {', '.join(sorted(points))}"
    if any(point.arm is not None for point in points.values()):
        raise UsageError(
            f"run {manifest.run_id} measured two arms of a pair gate: its verdict stands in its verdict.json",
            hint="judge or accept a run of `harness run`",
        )
    wanted = asked or scenario.gate.point
    if wanted is None and len(points) == 1:
        return manifest.points[0]
    if wanted is None:
        raise UsageError(
            f"run {manifest.run_id} has {len(points)} points and a gate judges one",
            hint=f"write `gate: {{point: …}}` in the scenario, or give --point; {listed}",
        )
    if wanted not in points:
        raise UsageError(f"run {manifest.run_id} has no point {wanted!r}", hint=listed)
    return points[wanted]
