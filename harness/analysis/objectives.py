"""Objectives of a scenario: the bounds they set on single requests, and whether a point meets them.

The level of the metric decides (DESIGN §9): a request-level metric with `statistic` bounds the point and every request,
without `statistic` every request only; a point-level metric bounds the point.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.bounds import Bound, bound_from
from harness.metrics.catalog import METRICS
from harness.metrics.percentile import PERCENTILES
from harness.metrics.results import POINT_VALUE, ObjectiveResult, PointSummary, Value
from harness.scenario.objective import Objective

MET, MISSED, NO_DATA = "met", "missed", "no data"


def request_bounds(objectives: Sequence[Objective]) -> list[Bound]:
    """The bounds on single requests that these objectives set."""
    of_requests = [objective for objective in objectives if METRICS[objective.metric].level == "request"]
    return [bound_from(objective.metric, *objective.bound) for objective in of_requests]


def percentiles_needed(objectives: Sequence[Objective]) -> list[tuple[str, str]]:
    """The (metric, percentile) pairs that these objectives look at."""
    return [(o.metric, o.statistic) for o in objectives if o.statistic is not None and o.statistic in PERCENTILES]


def evaluate(
    objectives: Sequence[Objective], summary: PointSummary, *, saturated: bool = False, tenant: str | None = None
) -> list[ObjectiveResult]:
    """The result of every objective that bounds a point; bounds on single requests show in goodput and attainment.

    A point that was stopped because it was saturated meets none. `tenant`: whose requests the summary is about.
    """
    of_point = [o for o in objectives if o.statistic is not None or METRICS[o.metric].level == "point"]
    return [_result(objective, summary, saturated, tenant) for objective in of_point]


def _result(objective: Objective, summary: PointSummary, saturated: bool, tenant: str | None) -> ObjectiveResult:
    observed = summary.metrics[objective.metric][objective.statistic or POINT_VALUE]
    name, limit = objective.bound
    status = _status(bound_from(objective.metric, name, limit), observed, ranked=objective.statistic != "mean")
    status = MISSED if saturated else status
    return ObjectiveResult(objective.metric, objective.statistic, name, limit, status, observed, tenant)


def _status(bound: Bound, observed: Value, *, ranked: bool) -> str:
    """Missed where the value breaks the bound, or is the rank of a failed request: every failure misses.

    A mean with failures in it ("> x") is only known to break the bound when x does; else it decides nothing.
    """
    if observed.value is None:
        return NO_DATA
    if not (observed.above or observed.below):
        return MET if bound.fits(observed.value, bound.limit) else MISSED
    at_the_limit = observed.value == bound.limit  # "> limit" is beyond it
    broken = at_the_limit or not bound.fits(observed.value, bound.limit)
    return MISSED if ranked or broken else NO_DATA
