"""Where a point stands: its label, its order on the page, and what goes with it (summary, validity)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.answer import Answer
from harness.analysis.instrument import InstrumentError, instrument_error
from harness.metrics.results import Assessment, ObjectiveResult, PointSummary, Validity, Value
from harness.records.calibration import Calibration
from harness.records.manifest import Manifest, Point
from harness.report import loads
from harness.report.numbers import lookup, overloaded
from harness.scenario.schema import Scenario

NOT_MEASURED = "NOT MEASURED"
MOST_ROWS = 4  # of a figure with one row per series
UNNAMED = "all"  # the workload of a scenario that gives it no name


@dataclass(frozen=True)
class Place:
    """A planned point with what is known about it. `summary` is None when nothing of it was measured."""

    point: Point
    series: str  # points of one series differ in load only: a line in a figure
    load: float
    load_text: str  # the load level alone: `16`, `2.5`, `ramp 2 → 20 req/s`
    load_label: str  # the same in words
    unit: str  # of the rate of an open loop's arrivals: req/s, or conversations/s
    summary: PointSummary | None
    validity: Validity
    objectives: Sequence[ObjectiveResult]
    instrument: InstrumentError | None = None  # None: not known

    @property
    def status(self) -> str:
        """VALID, SUSPECT, INVALID, or NOT MEASURED."""
        return self.validity.status if self.summary is not None else NOT_MEASURED

    @property
    def changing(self) -> bool:
        """Whether the load has no one rate: a ramp, steps, a trace, several tenants."""
        return self.load_text != f"{self.load:g}"

    @property
    def believable(self) -> bool:
        """Whether the point may stand for a result: measured and not INVALID."""
        return self.status in ("VALID", "SUSPECT")

    @property
    def key(self) -> tuple[str, str | None]:
        """(point id, arm)."""
        return self.point.point_id, self.point.arm

    @property
    def open_loop(self) -> bool:
        """Whether its requests had intended instants."""
        return not loads.is_closed(self.point)

    @property
    def label(self) -> str:
        """The point in words."""
        return f"{self.series}, {self.load_label}"

    def value(self, metric: str, statistic: str) -> Value:
        """A value of the point; one that says "not measured" where nothing was."""
        if self.summary is None:
            return Value(None, "", 0, reason="not measured")
        return lookup(self.summary.metrics, metric, statistic)


def places(
    manifest: Manifest, scenario: Scenario, assessment: Assessment, profile: Calibration | None = None
) -> list[Place]:
    """Every planned point, by workload as the scenario lists them, deployment, arm, and rising load."""
    summaries = {(summary.point_id, summary.arm): summary for summary in assessment.points}
    workloads = [workload.name for workload in scenario.workload]
    found = []
    failed = {d.deployment_id for d in manifest.deployments if d.failure is not None}
    for point in manifest.points:
        if point.purpose != "result":
            continue
        summary = summaries.get((point.point_id, point.arm))
        if summary is not None and not summary.repetitions:
            summary = None
        if summary is None and point.deployment_id in failed:
            continue  # that it does not start is its result
        found.append(
            Place(
                point,
                _series(point, manifest),
                loads.level(point),
                loads.name(point, scenario.load),
                loads.label(point, scenario.load, loads.arriving(point, scenario)),
                loads.arriving(point, scenario),
                summary,
                assessment.validity.get(point.key, Validity("SUSPECT")),
                assessment.objectives.get(point.key, []),
                _instrument(profile, point, summary),
            )
        )

    deployments = [d.deployment_id for d in manifest.deployments]

    def position(place: Place) -> tuple[int, int, str, float]:
        name, deployment = place.point.workload, place.point.deployment_id
        workload = workloads.index(name) if name in workloads else len(workloads)
        return workload, deployments.index(deployment), place.series, place.load

    return sorted(found, key=position)


def overload(place: Place) -> str:
    """`stopped: saturated` or `unstable` where percentiles are withheld for it, else nothing."""
    return overloaded(place.value("time_to_first_token", "p50").reason)


def series_of(found: Sequence[Place]) -> dict[str, list[Place]]:
    """The places by series, in order."""
    by_series: dict[str, list[Place]] = {}
    for place in found:
        by_series.setdefault(place.series, []).append(place)
    return by_series


def _instrument(profile: Calibration | None, point: Point, summary: PointSummary | None) -> InstrumentError | None:
    """None where nothing is known: no profile, or no latency that tells how many requests were in flight."""
    if profile is None or summary is None:
        return None
    latency = lookup(summary.metrics, "request_latency_from_send", "mean").value
    return None if point.concurrency is None and latency is None else instrument_error(profile, point, summary)


def _series(point: Point, manifest: Manifest) -> str:
    several = len(manifest.deployments) > 1 and not point.deployment_id.endswith(f"-{point.arm}")
    parts = [] if several and point.workload == UNNAMED else [_workload(point.workload)]
    if several:
        parts.append(_settings(point.deployment_id, manifest))
    if point.arm is not None:
        parts.append(f"arm {point.arm}")
    if len({other.load_kind for other in manifest.points}) > 1:
        parts.append(point.load_kind.replace("_", " "))
    return " · ".join(parts)


def _workload(name: str) -> str:
    return "all requests" if name == UNNAMED else name


def _settings(deployment_id: str, manifest: Manifest) -> str:
    """The settings by which a deployment differs from the others of the run; its id where none were varied."""
    varied = manifest.deployment(deployment_id).varied
    differing = [
        f"{name} {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in varied.items()
        if any(other.varied.get(name) != value for other in manifest.deployments)
    ]
    return ", ".join(differing) or deployment_id


def focused(found: Sequence[Place], answer: Answer | None) -> Sequence[Place]:
    """The places that figures with a row per series show: of a large sweep, the recommended one and the runner-up."""
    if answer is None or len(series_of(found)) <= MOST_ROWS:
        return found
    wanted = set()
    for one in answer.workloads:
        first, second = one.recommendation.configuration, one.recommendation.runner_up
        wanted |= {(one.workload, first), (one.workload, second.configuration if second else None)}
    return [p for p in found if (p.point.workload, p.point.deployment_id) in wanted] or found[:MOST_ROWS]


def closed_loop(found: Sequence[Place]) -> bool:
    """Whether the load of all points is a concurrency."""
    return not any(place.open_loop for place in found)


def load_axis(found: Sequence[Place]) -> str:
    """The name of the load axis."""
    if closed_loop(found):
        return "concurrency (requests in flight)"
    if not all(place.open_loop for place in found):
        return "load (concurrency, or requests per second)"
    if any(place.unit != loads.REQUESTS for place in found):
        return f"arrivals ({found[0].unit})"
    return "request rate, mean (req/s)" if any(place.changing for place in found) else "request rate, intended (req/s)"
