"""The catalog agrees with the scenario's list of metrics, with its formulas, and with its README."""

from __future__ import annotations

import pytest

from harness.metrics import readme
from harness.metrics.availability import NEEDS
from harness.metrics.catalog import METRICS
from harness.metrics.percentile import PERCENTILES, STATISTICS
from harness.metrics.request import FORMULAS
from harness.scenario import objective

UNITS = {"ns": "ms", "per_s": "per_s", "ratio": "ratio"}


def test_every_metric_of_an_objective_is_in_the_catalog_at_the_level_the_scenario_assumes():
    for name in objective.RequestMetric.__args__:
        assert METRICS[name].level == "request"
    for name in objective.PointMetric.__args__:
        assert METRICS[name].level == "point"


def test_a_scenario_bounds_every_metric_in_its_unit_and_direction():
    for name in (*objective.RequestMetric.__args__, *objective.PointMetric.__args__):
        side = {"lower": "at_most", "higher": "at_least"}[METRICS[name].better]
        bound = f"{side}_{UNITS[METRICS[name].unit]}"
        assert objective.Objective(metric=name, **{bound: 1}).bound == (bound, 1)


def test_every_statistic_of_an_objective_is_computed():
    assert set(objective.Statistic.__args__) == set(STATISTICS)
    assert set(PERCENTILES) < set(STATISTICS)


def test_every_metric_a_request_can_be_bounded_by_has_a_formula():
    assert {name for name, metric in METRICS.items() if metric.level == "request"} == set(FORMULAS)
    assert all(METRICS[name].formula is formula for name, formula in FORMULAS.items())


@pytest.mark.parametrize("name", METRICS)
def test_what_a_metric_needs_is_known(name):
    assert set(METRICS[name].needs) <= set(NEEDS)


def test_the_readme_is_the_one_generated_from_the_catalog():
    assert readme.PATH.read_text(encoding="utf-8") == readme.text(), "run: python -m harness.metrics.readme"


def test_the_readme_warns_of_the_words_that_mean_something_else():
    text = readme.text()
    assert "GuideLLM's TPOT includes the first token" in text
    assert "say ITL for our `time_per_output_token`" in text
