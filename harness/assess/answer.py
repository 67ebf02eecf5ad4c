"""From the assessment of a sweep to its answer: fronts, recommendation, what bound each point, what to try next.

Pure: manifest, scenario, assessment and telemetry in, an `Answer` out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from harness.analysis.answer import GPU, NOT_FINISHED, SERVER, Answer, AnswerPoint, Configuration, Drift, WorkloadAnswer
from harness.analysis.bound_by import unbound
from harness.analysis.next_steps import next_steps
from harness.analysis.pareto import Candidate, front, recommend
from harness.assess.answer_warnings import warnings
from harness.assess.bounds import bounds_of
from harness.errors import Ending, worst
from harness.metrics.catalog import METRICS
from harness.metrics.results import POINT_VALUE, Assessment, ObjectiveResult, PointSummary, Value
from harness.records.manifest import Deployment, Manifest, Point
from harness.scenario.schema import Scenario

SWEEP = "sweep"
FRONT_PERCENTILES = ("p99", "p95", "p90", "p50")
RATE = "output_token_throughput"


def answer_of(manifest: Manifest, scenario: Scenario, assessment: Assessment, telemetry: pa.Table) -> Answer | None:
    """The answer of a sweep; None for other campaigns. `telemetry` has schema TELEMETRY."""
    if manifest.campaign != SWEEP:
        return None
    results = _Results(
        manifest,
        assessment,
        telemetry,
        divisor=_divisor(manifest),
        maximised=_maximised(scenario),
        statistic=_statistic(assessment),
    )
    drift = _drift(results)
    return Answer(
        divisor=results.divisor,
        maximised=results.maximised,
        statistic=results.statistic,
        objectives=[in_words(o.metric, o.statistic, *o.bound) for o in scenario.objectives],
        drift=drift,
        workloads=[_workload(results, scenario, workload.name, drift) for workload in scenario.workload],
    )


def ending(answer: Answer) -> Ending:
    """PASS when every workload has a recommendation; else why there is none."""
    return worst(_ending(each) for each in answer.workloads)


def _ending(one: WorkloadAnswer) -> Ending:
    if one.recommendation.configuration is not None:
        return Ending.PASS
    points = [point for configuration in one.configurations for point in configuration.points]
    reasons = [point.why_not or "" for point in points]
    if any(reason.startswith("misses") for reason in reasons):
        return Ending.FAIL
    return Ending.INVALID if any(reason == "INVALID" for reason in reasons) else Ending.INCONCLUSIVE


@dataclass(frozen=True)
class _Results:
    """What a workload's answer is made from."""

    manifest: Manifest
    assessment: Assessment
    telemetry: pa.Table
    divisor: str
    maximised: str
    statistic: str

    def summary(self, point: Point) -> PointSummary | None:
        """What was measured of a point."""
        found = next((s for s in self.assessment.points if (s.point_id, s.arm) == (point.point_id, point.arm)), None)
        return found if found is not None and found.repetitions else None

    def per_divisor(self, value: Value, point: Point) -> Value:
        """A rate divided by the GPUs of the point's deployment; by one server where no GPUs are known."""
        count = self.manifest.deployment(point.deployment_id).gpu_count
        if self.divisor == SERVER or value.value is None or not count:
            return value
        low, high = (None if end is None else end / count for end in (value.low, value.high))
        return replace(value, value=value.value / count, low=low, high=high)


def _divisor(manifest: Manifest) -> str:
    started = [d for d in manifest.deployments if d.failure is None]
    return GPU if started and all(d.gpu_count for d in started) else SERVER


def _maximised(scenario: Scenario) -> str:
    """Goodput where the objectives bound single requests only: then no point as a whole can miss them."""
    of_points = [o for o in scenario.objectives if o.statistic is not None or METRICS[o.metric].level == "point"]
    return "goodput" if scenario.objectives and not of_points else RATE


def _statistic(assessment: Assessment) -> str:
    """The highest percentile of TTFT that at least half of the measured points have."""
    measured = [point for point in assessment.points if point.repetitions]
    for statistic in FRONT_PERCENTILES:
        having = sum(_plain(point.metrics["time_to_first_token"].get(statistic)) is not None for point in measured)
        if having and 2 * having >= len(measured):
            return statistic
    return FRONT_PERCENTILES[-1]


def _plain(value: Value | None) -> float | None:
    """The number, unless it is only a bound."""
    return None if value is None or value.above or value.below else value.value


def _workload(results: _Results, scenario: Scenario, workload: str, drift: Drift | None) -> WorkloadAnswer:
    configurations = [_configuration(results, d, workload) for d in results.manifest.deployments]
    points = [(c, point) for c in configurations for point in c.points]
    candidates = [_candidate(results, c.deployment_id, point) for c, point in points]
    spread = math.log1p(drift.spread) if drift is not None and drift.spread is not None else None
    made = WorkloadAnswer(
        workload=workload,
        configurations=configurations,
        recommendation=recommend(candidates, drift=spread),
        fronts={
            "per_user": _front([point for _, point in points], "per_user", "higher"),
            "time_to_first_token": _front([point for _, point in points], "time_to_first_token", "lower"),
        },
        next_steps=[],
        warnings=[],
    )
    return replace(made, next_steps=next_steps(made, _measured(configurations)), warnings=warnings(made, drift))


def _measured(configurations: Sequence[Configuration]) -> dict[str, list[Any]]:
    """Setting → the values that gave a result; one that did not start was not tried."""
    found: dict[str, list[Any]] = {}
    for one in configurations:
        for name, value in one.varied.items() if one.points else ():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _configuration(results: _Results, deployment: Deployment, workload: str) -> Configuration:
    own = [
        point
        for point in results.manifest.points
        if (point.deployment_id, point.workload, point.purpose) == (deployment.deployment_id, workload, "result")
        and results.summary(point) is not None
    ]
    made = [_point(results, deployment, point) for point in sorted(own, key=_level)]
    return Configuration(
        deployment_id=deployment.deployment_id,
        label=", ".join(f"{name} {_shown(value)}" for name, value in deployment.varied.items()),
        varied=deployment.varied,
        engine_name=deployment.engine_name,
        failure=deployment.failure,
        pruned=deployment.pruned,
        points=_with_unbound(made),
    )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _level(point: Point) -> float:
    return float(point.concurrency or point.request_rate_per_s or 0)


def _point(results: _Results, deployment: Deployment, point: Point) -> AnswerPoint:
    summary = results.summary(point)
    assert summary is not None
    objectives = results.assessment.objectives.get(point.point_id, [])
    validity = results.assessment.validity[point.point_id].status
    metrics = summary.metrics
    return AnswerPoint(
        point_id=point.point_id,
        load=f"concurrency {point.concurrency}" if point.concurrency else f"{_level(point):g} req/s",
        level=_level(point),
        validity=validity,
        throughput=results.per_divisor(metrics[RATE][POINT_VALUE], point),
        maximised=results.per_divisor(metrics[results.maximised][POINT_VALUE], point),
        per_user=metrics["output_token_throughput_per_user"]["p50"],
        time_to_first_token=metrics["time_to_first_token"][results.statistic],
        bounds=bounds_of(results.manifest, results.telemetry, deployment, point.point_id),
        why_not=_why_not(validity, objectives, metrics[results.maximised][POINT_VALUE]) or _not_finished(deployment),
        close=_close(objectives),
        slack=_slack(objectives),
    )


def _with_unbound(points: Sequence[AnswerPoint]) -> list[AnswerPoint]:
    """Where nothing held the engine back: whether it computed all it could, from the neighbouring loads."""
    steps = [(point.level, point.throughput.value or 0.0) for point in points]
    made = []
    for i, point in enumerate(points):
        below, above = steps[i - 1] if i else None, steps[i + 1] if i + 1 < len(steps) else None
        made.append(point if point.bounds else replace(point, bounds=[unbound(*steps[i], below, above)]))
    return made


def _why_not(validity: str, objectives: Sequence[ObjectiveResult], maximised: Value) -> str | None:
    if validity == "INVALID":
        return "INVALID"
    missed = [in_words(o.metric, o.statistic, o.bound, o.limit) for o in objectives if o.status == "missed"]
    if missed:
        return f"misses {'; '.join(missed)}"
    undecided = [in_words(o.metric, o.statistic, o.bound, o.limit) for o in objectives if o.status == "no data"]
    if undecided:
        return f"too few requests to tell: {'; '.join(undecided)}"
    return maximised.reason if maximised.value is None else None


def _not_finished(deployment: Deployment) -> str | None:
    """What was pruned is beaten, and has fewer repetitions than the others: it is shown, never recommended."""
    return None if deployment.pruned is None else f"{NOT_FINISHED}: {deployment.pruned}"


def _slack(objectives: Sequence[ObjectiveResult]) -> float | None:
    """How far the nearest objective on a time is: limit / observed - 1; None without one that is decided."""
    found = [o.limit * 1e6 / o.observed.value - 1 for o in objectives if o.bound == "at_most_ms" and o.observed.value]
    return min(found) if found else None


def _close(objectives: Sequence[ObjectiveResult]) -> str | None:
    """An objective that is met by its value, but not by its whole interval (or range over repetitions)."""
    for o in objectives:
        scale = 1e6 if o.bound.endswith("_ms") else 1.0
        worst_end = o.observed.high if o.bound.startswith("at_most") else o.observed.low
        if o.status != "met" or worst_end is None:
            continue
        over = worst_end - o.limit * scale if o.bound.startswith("at_most") else o.limit * scale - worst_end
        if over > 0:
            return in_words(o.metric, o.statistic, o.bound, o.limit)
    return None


def in_words(metric: str, statistic: str | None, bound: str, limit: float) -> str:
    """An objective for people: "time_to_first_token p90 at most 400 ms"."""
    word, _, unit = bound.removeprefix("at_").partition("_")
    shown = {"ms": f"{limit:g} ms", "per_s": f"{limit:g}/s", "ratio": f"{limit:.4g}"}[unit]
    return f"{metric}{f' {statistic}' if statistic else ''} at {word} {shown}"


def _candidate(results: _Results, deployment_id: str, point: AnswerPoint) -> Candidate:
    summary = next(s for s in results.assessment.points if s.point_id == point.point_id)
    planned = results.manifest.point(point.point_id)
    complete = [r for r in summary.repetitions if r.complete] or summary.repetitions
    values = [results.per_divisor(r.metrics[results.maximised][POINT_VALUE], planned).value for r in complete]
    return Candidate(deployment_id, point.point_id, tuple(v for v in values if v), point.why_not)


def _front(points: Sequence[AnswerPoint], name: str, better: str) -> list[str]:
    """Ids of the points on the front; INVALID ones, and those without both values, cannot be on it."""
    pairs: Mapping[str, tuple[float | None, float | None]] = {
        point.point_id: (_plain(point.throughput), _plain(getattr(point, name)))
        for point in points
        if point.validity != "INVALID"
    }
    known = [(point_id, (x, y)) for point_id, (x, y) in pairs.items() if x is not None and y is not None]
    return [known[i][0] for i in front([pair for _, pair in known], second=better)]


def _drift(results: _Results) -> Drift | None:
    point = next((point for point in results.manifest.points if point.purpose == "reference"), None)
    summary = None if point is None else results.summary(point)
    if point is None or summary is None:
        return None
    visits = [r.metrics for r in summary.repetitions if r.complete]
    by_metric = {name: [v[name][POINT_VALUE].value or 0.0 for v in visits] for name in (results.maximised, RATE)}
    # Goodput may be 0 at a reference that misses a bound at every visit: then its throughput has to tell.
    metric = results.maximised if any(by_metric[results.maximised]) else RATE
    first_tokens = [_plain(v["time_to_first_token"]["p50"]) or 0.0 for v in visits]
    return Drift(
        point_id=point.point_id,
        values=by_metric[metric],
        spread=_spread(by_metric[metric]),
        metric=metric,
        first_token_spread=_spread(first_tokens),
        is_invalid=results.assessment.validity[point.point_id].status == "INVALID",
    )


def _spread(values: Sequence[float]) -> float | None:
    """Largest / smallest - 1 over the visits of the reference; None where that is not known."""
    return max(values) / min(values) - 1 if len(values) > 1 and min(values) > 0 else None
