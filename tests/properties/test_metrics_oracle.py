"""Every metric of the catalog equals the slow oracle, on runs of every kind."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.bounds import Bound
from harness.metrics.catalog import METRICS
from harness.metrics.results import RepetitionSummary, Value
from harness.metrics.summary import summarise
from tests.oracle import metrics_oracle
from tests.oracle.metrics_oracle import Oracle
from tests.oracle.runs import MS, at, manifest, measurement, rows_of_any_kind, table

LIMITS = {"time_to_first_token": 80 * MS, "time_per_output_token": 20 * MS}
BOUNDS = [Bound(metric, "at_most_ms", limit) for metric, limit in LIMITS.items()]
SPANS = [
    name
    for name, metric in METRICS.items()
    if metric.level == "request" and name not in ("output_token_throughput_per_user", "time_to_second_token")
]


@st.composite
def measured(draw: st.DrawFn) -> tuple[RepetitionSummary, Oracle, bool]:
    open_loop = draw(st.booleans())
    rows = draw(rows_of_any_kind(open_loop=open_loop))
    run = manifest([measurement(len(rows))], open_loop=open_loop, gpu_count=2)
    (summary,) = summarise(run, table(rows), BOUNDS)
    oracle = Oracle(rows, window=(at(200), at(900)), until=at(1200), open_loop=open_loop, bounds=LIMITS)
    return summary.repetitions[0], oracle, open_loop


def agrees(value: Value, expected: tuple[str, Fraction | float] | None) -> bool:
    if expected is None:
        return value.value is None and value.reason is not None
    kind, number = expected
    return value.above == (kind == "above") and value.value == pytest.approx(float(number), rel=1e-12)


def check_distribution(summary: RepetitionSummary, metric: str, entries: list[tuple[str, Fraction]]) -> None:
    values = summary.metrics[metric]
    assert all(value.n == len(entries) for value in values.values())
    for name in metrics_oracle.SHARES:
        assert agrees(values[name], metrics_oracle.percentile(entries, name)), (metric, name)
    if entries:
        assert agrees(values["mean"], metrics_oracle.mean(entries)), metric
        assert agrees(values["max"], metrics_oracle.at_share(entries, Fraction(1))), metric


@given(measured())
@settings(max_examples=150, deadline=None)
def test_every_request_level_metric_equals_the_oracle(case):
    summary, oracle, open_loop = case
    for metric in SPANS:
        reason = summary.metrics[metric]["mean"].reason
        if reason is not None and reason.startswith("not available"):
            assert (metric, open_loop) == ("schedule_lag", False) or metric == "input_tokens"
            continue
        check_distribution(summary, metric, oracle.entries(metric))


@given(measured())
@settings(max_examples=150, deadline=None)
def test_gaps_equal_the_oracle_and_itl_exists_only_where_chunks_carry_one_token(case):
    summary, oracle, _ = case
    entries = oracle.entries("inter_chunk_latency")
    check_distribution(summary, "inter_chunk_latency", entries)
    share = oracle.single_token_share()
    if share is None or share >= 0.99:
        assert summary.metrics["inter_token_latency"] == summary.metrics["inter_chunk_latency"]
    else:
        assert summary.metrics["inter_token_latency"]["mean"].reason.startswith("not available: chunks carry")


@given(measured())
@settings(max_examples=150, deadline=None)
def test_time_to_second_token_equals_the_oracle_where_first_chunks_carry_one_token(case):
    summary, oracle, _ = case
    share = oracle.single_token_share(first_only=True)
    if share is None or share >= 0.99:
        check_distribution(summary, "time_to_second_token", oracle.entries("time_to_second_token"))
    else:
        assert "first chunks carry" in summary.metrics["time_to_second_token"]["p50"].reason


@given(measured())
@settings(max_examples=150, deadline=None)
def test_throughput_per_user_equals_the_oracle_with_failures_as_the_slowest(case):
    summary, oracle, _ = case
    values, rates = summary.metrics["output_token_throughput_per_user"], oracle.per_user()
    assert values["max"].n == len(rates)
    if rates and rates[-1] > 0:
        assert values["max"].value == pytest.approx(rates[-1])
    if len(rates) >= 6:
        expected = rates[-(-len(rates) // 2) - 1]
        if expected > 0:
            assert values["p50"].value == pytest.approx(expected)
            assert not values["p50"].below
        else:
            assert values["p50"].below or values["p50"].value is None


@given(measured())
@settings(max_examples=150, deadline=None)
def test_rates_and_ratios_equal_the_oracle(case):
    summary, oracle, _ = case

    def value(metric: str, key: str = "value") -> float | None:
        return summary.metrics[metric][key].value

    assert value("request_throughput") == pytest.approx(oracle.request_throughput())
    assert value("output_token_throughput") == pytest.approx(oracle.output_token_throughput())
    assert value("total_token_throughput") == pytest.approx(oracle.total_token_throughput())
    assert value("output_token_throughput_per_gpu") == pytest.approx(oracle.output_token_throughput() / 2)
    assert value("total_token_throughput_per_gpu") == pytest.approx(oracle.total_token_throughput() / 2)
    assert value("error_ratio") == oracle.error_ratio()
    for outcome in metrics_oracle.FAILED:
        assert value("error_ratio", outcome) == oracle.error_ratio(outcome)
    assert summary.cohort == len(oracle.cohort)
    assert summary.offered_rate_per_s == pytest.approx(float(len(oracle.cohort) / oracle.seconds()))
    assert sum(summary.outcomes.values()) == summary.cohort


@given(measured())
@settings(max_examples=150, deadline=None)
def test_goodput_and_attainment_equal_the_oracle(case):
    summary, oracle, _ = case
    assert summary.metrics["goodput"]["value"].value == pytest.approx(oracle.goodput())
    assert summary.metrics["attainment"]["value"].value == oracle.attainment()
