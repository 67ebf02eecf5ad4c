"""Objectives: what bounds a request, what bounds a point, and when the data cannot say."""

from __future__ import annotations

import pytest

from harness.analysis.objectives import evaluate, percentiles_needed, request_bounds
from harness.metrics.bounds import Bound
from harness.metrics.results import PointSummary, Value
from harness.scenario.objective import Objective
from tests.oracle.runs import MS

TTFT_P95 = Objective(metric="time_to_first_token", statistic="p95", at_most_ms=500)
TTFT_MEAN = Objective(metric="time_to_first_token", statistic="mean", at_most_ms=500)
TPOT_EACH = Objective(metric="time_per_output_token", at_most_ms=50)
ERRORS = Objective(metric="error_ratio", at_most_ratio=0.01)
SPEED = Objective(metric="output_token_throughput", at_least_per_s=100)
PER_USER = Objective(metric="output_token_throughput_per_user", statistic="p50", at_least_per_s=20)


def status(objective: Objective, observed: Value) -> str:
    metrics = {objective.metric: {objective.statistic or "value": observed}}
    (result,) = evaluate([objective], PointSummary("p", None, [], metrics))
    assert result.observed is observed
    return result.status


def test_request_level_objectives_bound_every_request_and_point_level_ones_none():
    bounds = request_bounds([TTFT_P95, TPOT_EACH, ERRORS, SPEED, PER_USER])
    assert bounds == [
        Bound("time_to_first_token", "at_most_ms", 500 * MS),
        Bound("time_per_output_token", "at_most_ms", 50 * MS),
        Bound("output_token_throughput_per_user", "at_least_per_s", 20),
    ]


def test_an_objective_without_statistic_on_a_request_metric_is_no_objective_of_the_point():
    assert evaluate([TPOT_EACH], PointSummary("p", None, [], {})) == []


def test_only_percentiles_need_a_sample_size():
    assert percentiles_needed([TTFT_P95, TTFT_MEAN, TPOT_EACH, ERRORS]) == [("time_to_first_token", "p95")]


@pytest.mark.parametrize(("ms", "expected"), [(499, "met"), (500, "met"), (500.000001, "missed")])
def test_at_most_includes_its_limit(ms, expected):
    assert status(TTFT_P95, Value(ms * MS, "ns", 100)) == expected


@pytest.mark.parametrize(("speed", "expected"), [(99.9, "missed"), (100, "met"), (101, "met")])
def test_at_least_includes_its_limit(speed, expected):
    assert status(SPEED, Value(speed, "per_s", 100)) == expected


@pytest.mark.parametrize("ms", [1, 500, 900])
def test_a_percentile_among_failures_misses_however_quickly_they_failed(ms):
    assert status(TTFT_P95, Value(ms * MS, "ns", 100, above=True)) == "missed"
    assert status(PER_USER, Value(30.0, "per_s", 100, below=True)) == "missed"


@pytest.mark.parametrize(("ms", "expected"), [(499, "no data"), (500, "missed"), (501, "missed")])
def test_a_mean_with_failures_misses_only_where_its_bound_does(ms, expected):
    assert status(TTFT_MEAN, Value(ms * MS, "ns", 100, above=True)) == expected


def test_no_value_is_no_data_never_a_pass():
    assert status(TTFT_P95, Value(None, "ns", 10, reason="needs 72 requests")) == "no data"


def test_the_limit_is_kept_as_the_scenario_states_it():
    observed = Value(0.0, "ratio", 10)
    (result,) = evaluate([ERRORS], PointSummary("p", None, [], {"error_ratio": {"value": observed}}))
    assert (result.bound, result.limit, result.status, result.statistic) == ("at_most_ratio", 0.01, "met", None)
