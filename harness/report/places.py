"""Where a point stands: its label, its order on the page, and what goes with it (summary, validity)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.metrics.results import Assessment, ObjectiveResult, PointSummary, Validity, Value
from harness.records.manifest import Manifest, Point
from harness.report.numbers import lookup
from harness.scenario.schema import Scenario

NOT_MEASURED = "NOT MEASURED"
UNNAMED = "all"  # the workload of a scenario that gives it no name


@dataclass(frozen=True)
class Place:
    """A planned point with what is known about it. `summary` is None when nothing of it was measured."""

    point: Point
    series: str  # points of one series differ in load only: a line in a figure
    load: float
    summary: PointSummary | None
    validity: Validity
    objectives: Sequence[ObjectiveResult]

    @property
    def status(self) -> str:
        """VALID, SUSPECT, INVALID, or NOT MEASURED."""
        return self.validity.status if self.summary is not None else NOT_MEASURED

    @property
    def believable(self) -> bool:
        """Whether the point may stand for a result: measured and not INVALID."""
        return self.status in ("VALID", "SUSPECT")

    @property
    def load_text(self) -> str:
        """The load level alone: `16`, or `2.5`."""
        return f"{self.load:g}"

    @property
    def load_label(self) -> str:
        """The load level in words."""
        return f"concurrency {self.load:g}" if self.point.load_kind == "closed_loop" else f"{self.load:g} req/s"

    @property
    def label(self) -> str:
        """The point in words."""
        return f"{self.series}, {self.load_label}"

    def value(self, metric: str, statistic: str) -> Value:
        """A value of the point; one that says "not measured" where nothing was."""
        if self.summary is None:
            return Value(None, "", 0, reason="not measured")
        return lookup(self.summary.metrics, metric, statistic)


def places(manifest: Manifest, scenario: Scenario, assessment: Assessment) -> list[Place]:
    """Every planned point, by workload as the scenario lists them, deployment, arm, and rising load."""
    summaries = {(summary.point_id, summary.arm): summary for summary in assessment.points}
    workloads = [workload.name for workload in scenario.workload]
    found = []
    for point in manifest.points:
        summary = summaries.get((point.point_id, point.arm))
        if summary is not None and not summary.repetitions:
            summary = None
        found.append(
            Place(
                point,
                _series(point, manifest),
                float(point.concurrency or point.request_rate_per_s or 0),
                summary,
                assessment.validity.get(point.point_id, Validity("SUSPECT")),
                assessment.objectives.get(point.point_id, []),
            )
        )

    def position(place: Place) -> tuple[int, str, float]:
        name = place.point.workload
        return (workloads.index(name) if name in workloads else len(workloads), place.series, place.load)

    return sorted(found, key=position)


def series_of(found: Sequence[Place]) -> dict[str, list[Place]]:
    """The places by series, in order."""
    by_series: dict[str, list[Place]] = {}
    for place in found:
        by_series.setdefault(place.series, []).append(place)
    return by_series


def _series(point: Point, manifest: Manifest) -> str:
    parts = ["all requests" if point.workload == UNNAMED else point.workload]
    if len(manifest.deployments) > 1:
        parts.append(point.deployment_id)
    if point.arm is not None:
        parts.append(f"arm {point.arm}")
    return " · ".join(parts)


def closed_loop(found: Sequence[Place]) -> bool:
    """Whether the load of all points is a concurrency."""
    return all(place.point.load_kind == "closed_loop" for place in found)


def load_axis(found: Sequence[Place]) -> str:
    """The name of the load axis."""
    return "concurrency (requests in flight)" if closed_loop(found) else "request rate, intended (req/s)"
