"""From request rows to summaries: every metric of the catalog for every repetition of every point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from harness.metrics.availability import unavailable
from harness.metrics.bounds import Bound
from harness.metrics.catalog import METRICS, Level, Metric
from harness.metrics.columns import RepetitionKey, by_repetition
from harness.metrics.combine import combine
from harness.metrics.percentile import STATISTICS, statistics
from harness.metrics.repetition import Repetition, repetition_of
from harness.metrics.results import POINT_VALUE, PointSummary, RepetitionSummary, Statistics, Value
from harness.metrics.window import window_of
from harness.records.manifest import Manifest, Measurement, Point
from harness.records.schemas import OUTCOMES, REQUESTS

NOT_OPENED = "not available: it stopped before its window opened"
NOT_MEASURED = "not available: the point was not measured"


def summarise(manifest: Manifest, requests: pa.Table, bounds: Sequence[Bound] = ()) -> list[PointSummary]:
    """The summary of every point of the manifest, in its order. `requests` has schema REQUESTS."""
    tables = by_repetition(requests)
    return [_point_summary(manifest, point, tables, bounds) for point in manifest.points]


def measurements_of(manifest: Manifest, point: Point) -> list[Measurement]:
    """The repetitions of a point that were measured, in order."""
    own = [m for m in manifest.measurements if (m.point_id, m.arm) == (point.point_id, point.arm)]
    return sorted(own, key=lambda m: m.repetition)


def repetitions(
    manifest: Manifest, point: Point, tables: Mapping[RepetitionKey, pa.Table], bounds: Sequence[Bound] = ()
) -> Iterator[tuple[Measurement, Repetition | None]]:
    """Each measured repetition of a point, ready for the formulas; None where its window never opened."""
    deployment = manifest.deployment(point.deployment_id)
    for measurement in measurements_of(manifest, point):
        window = window_of(measurement)
        table = tables.get((point.point_id, point.arm, measurement.repetition), REQUESTS.empty_table())
        yield measurement, None if window is None else repetition_of(point, deployment, window, table, bounds)


def _point_summary(
    manifest: Manifest, point: Point, tables: Mapping[RepetitionKey, pa.Table], bounds: Sequence[Bound]
) -> PointSummary:
    summaries = [_repetition_summary(m, r) for m, r in repetitions(manifest, point, tables, bounds)]
    used = _complete_first(summaries)
    metrics = _combined(used) if used else _nothing(NOT_MEASURED)
    return PointSummary(point.point_id, point.arm, summaries, metrics)


def _complete_first(summaries: Sequence[RepetitionSummary]) -> Sequence[RepetitionSummary]:
    """The repetitions that speak for a point: the complete ones, else those whose window opened, else all."""
    complete = [summary for summary in summaries if summary.complete]
    return complete or [summary for summary in summaries if summary.window_s > 0] or summaries


def _combined(summaries: Sequence[RepetitionSummary]) -> dict[str, Statistics]:
    return {
        name: {key: combine([s.metrics[name][key] for s in summaries]) for key in values}
        for name, values in summaries[0].metrics.items()
    }


def _repetition_summary(m: Measurement, r: Repetition | None) -> RepetitionSummary:
    if r is None:
        return RepetitionSummary(
            m.point_id, m.arm, m.repetition, m.complete, 0.0, 0, {}, 0.0, 0.0, metrics=_nothing(NOT_OPENED)
        )
    metrics = measure(r)
    cohort = int(r.cohort.sum())
    counts = np.bincount(r.rows.outcome[r.cohort], minlength=len(OUTCOMES))
    return RepetitionSummary(
        point_id=m.point_id,
        arm=m.arm,
        repetition=m.repetition,
        complete=m.complete,
        window_s=r.window.length_s,
        cohort=cohort,
        outcomes={name: int(count) for name, count in zip(OUTCOMES, counts, strict=True) if count},
        offered_rate_per_s=cohort / r.window.length_s,
        served_rate_per_s=metrics["request_throughput"][POINT_VALUE].value or 0.0,
        metrics=metrics,
        token_sources={"input": r.input.source_of(r.cohort), "output": r.output.source_of(r.cohort & r.rows.ok)},
    )


def measure(r: Repetition) -> dict[str, Statistics]:
    """Every metric of the catalog for one repetition, in the catalog's order."""
    return {metric.name: _statistics(metric, r) for metric in METRICS.values()}


def _statistics(metric: Metric, r: Repetition) -> Statistics:
    reason = unavailable(metric, r)
    return EVALUATE[metric.level](metric, r) if reason is None else _absent(metric, reason)


def _of_requests(metric: Metric, r: Repetition) -> Statistics:
    column: Any = metric.formula(r)
    return statistics(column.sample(r.cohort), metric.unit, "requests")


def _of_chunks(metric: Metric, r: Repetition) -> Statistics:
    sample: Any = metric.formula(r)
    return statistics(sample, metric.unit, "gaps")


def _of_point(metric: Metric, r: Repetition) -> Statistics:
    values: Any = metric.formula(r)
    return dict(values)


EVALUATE: Mapping[Level, Callable[[Metric, Repetition], Statistics]] = {
    "request": _of_requests,
    "chunk": _of_chunks,
    "point": _of_point,
}


def _absent(metric: Metric, reason: str) -> Statistics:
    keys = (POINT_VALUE,) if metric.level == "point" else STATISTICS
    return {key: Value(None, metric.unit, 0, reason=reason) for key in keys}


def _nothing(reason: str) -> dict[str, Statistics]:
    return {metric.name: _absent(metric, reason) for metric in METRICS.values()}
