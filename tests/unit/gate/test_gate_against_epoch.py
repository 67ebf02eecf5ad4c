"""One run against the accepted runs of an epoch: signs, error rates, drift, and what decides without spread."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from epochs import drawn, gates, run_of, statuses
from gate_pairs import CONTINUOUS, ERRORS, LENGTH, TOKENS, TTFT, whole_rule
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.gate.against_epoch import Accepted, judge_metrics
from harness.gate.methods import gated
from harness.gate.prediction import bounds, detectable, effects, predict
from harness.gate.verdict import FAIL, INCONCLUSIVE, PASS
from harness.metrics.results import Value

RULE = whole_rule()
SPREAD = 0.01  # of a run, on the log scale


def epoch(n: int = 6, seed: int = 1, spread: float = SPREAD) -> list[dict[tuple[str, str], Value]]:
    random = np.random.default_rng(seed)
    return [drawn(random, spread) for _ in range(n)]


def test_the_interval_is_student_s_prediction_interval() -> None:
    values, candidate = [100.0, 103.0, 99.0, 101.0, 104.0], 102.0
    metric = gated(*TTFT)
    found = predict(metric, effects(metric, values, candidate), 0.05)
    logs = np.log(values)
    half = stats.t.ppf(0.95, 4) * logs.std(ddof=1) * math.sqrt(1 + 1 / 5)
    assert (found.low, found.high) == pytest.approx((math.log(102) - logs.mean() - half, found.d + half))
    t = (found.d - bounds(metric)[1]) / found.error
    assert (found.p_fail, found.p_pass) == pytest.approx((stats.t.sf(t, 4), stats.t.cdf(t, 4)))
    assert detectable(found, 0.05) == pytest.approx((stats.t.ppf(0.95, 4) + stats.t.ppf(0.8, 4)) * found.error)


@pytest.mark.parametrize(("runs", "loss"), [(5, 0.0), (5, 0.05), (12, 0.05)])
@pytest.mark.parametrize("spread", [0.01, 0.06])
def test_a_run_that_is_no_worse_than_the_margin_fails_at_most_as_often_as_alpha(
    runs: int, loss: float, spread: float
) -> None:
    """All four continuous metrics at the margin at once is the worst case that Holm is for."""
    n = 600
    failed = Counter(gates(RULE, n=n, runs=runs, spread=spread, loss=loss))[FAIL]
    assert failed <= stats.binom.ppf(0.999, n, RULE.alpha)


def test_a_run_at_the_margin_rarely_passes_and_an_unchanged_one_mostly_does() -> None:
    at_margin = Counter(gates(replace(RULE, metrics=(gated(*TTFT),)), n=600, runs=8, spread=SPREAD, loss=0.05))
    assert at_margin[PASS] <= stats.binom.ppf(0.999, 600, RULE.alpha)
    unchanged = Counter(gates(RULE, n=200, runs=8, spread=SPREAD, loss=0.0))
    assert unchanged[PASS] >= 0.8 * 200


@pytest.mark.parametrize("spread", [0.01, 0.03, 0.06])
def test_two_and_a_half_times_slower_always_fails_and_as_much_faster_never(spread: float) -> None:
    assert set(gates(RULE, n=100, runs=5, spread=spread, loss=1.5)) == {FAIL}
    assert FAIL not in set(gates(RULE, n=100, runs=5, spread=spread, loss=-0.6))


def test_each_metric_alone_fails_in_its_own_direction() -> None:
    for key in CONTINUOUS:
        worse, better = (statuses(RULE, epoch(), run_of({key: d})) for d in (math.log(2.5), -math.log(2.5)))
        assert {k for k, status in worse.items() if status == FAIL} == {key}
        assert FAIL not in better.values()


@given(st.floats(-0.5, 0.5), st.floats(0.001, 0.5))
def test_a_worse_run_is_never_judged_better(d: float, more: float) -> None:
    order = [PASS, INCONCLUSIVE, FAIL]
    for key in CONTINUOUS:
        now, then = (statuses(RULE, epoch(), run_of({key: loss}))[key] for loss in (d, d + more))
        assert order.index(then) >= order.index(now)


def test_accepted_runs_without_spread_decide_by_the_value() -> None:
    same = [run_of({})] * 5
    assert set(statuses(RULE, same, run_of({})).values()) == {PASS}
    for loss, status in ((0.049, PASS), (0.05, INCONCLUSIVE), (0.051, FAIL), (-0.5, PASS)):
        assert statuses(RULE, same, run_of({TTFT: math.log1p(loss)}))[TTFT] == status
    assert statuses(RULE, same, run_of({}, errors=0.03))[ERRORS] == FAIL
    assert statuses(RULE, same, run_of({}, errors=0.009))[ERRORS] == PASS


def test_one_error_among_few_requests_is_no_failure_where_none_were_seen_before() -> None:
    few = {**run_of({}), ERRORS: Value(1 / 50, "ratio", 50)}
    found = judge_metrics(RULE, Accepted([run_of({})] * 5, 250), few)
    assert {m.metric: m.status for m in found}["error_ratio"] == INCONCLUSIVE
    many = {**run_of({}), ERRORS: Value(0.02, "ratio", 5000)}
    found = judge_metrics(RULE, Accepted([run_of({})] * 5, 25_000), many)
    assert {m.metric: m.status for m in found}["error_ratio"] == FAIL


def test_shorter_and_longer_answers_both_fail() -> None:
    for length, status in ((28.0, FAIL), (36.0, FAIL), (31.0, PASS), (33.0, PASS)):
        assert statuses(RULE, epoch(), run_of({}, length=length))[LENGTH] == status


def test_a_slow_creep_that_every_accepted_run_took_part_in_is_caught_by_the_first_five() -> None:
    """Each run is 1.2% slower than the one before: the whole epoch's mean and spread have moved along."""
    creeping = [run_of({TTFT: 0.012 * i}) for i in range(20)]
    (verdict,) = judge_metrics(
        replace(RULE, metrics=(gated(*TTFT),)), Accepted(creeping, 20_000), run_of({TTFT: 0.012 * 20})
    )
    assert verdict.status == FAIL
    assert "the first 5 accepted runs" in verdict.reason
    assert verdict.low is not None
    assert verdict.low < 0.05  # the whole epoch alone would not have failed it


def test_a_run_that_drifted_beyond_the_margin_never_passes() -> None:
    runs = [run_of({TTFT: d}) for d in (0.0, 0.03, -0.03, 0.02, -0.02, *[0.055] * 30)]
    assert statuses(RULE, runs, run_of({TTFT: 0.058}))[TTFT] == INCONCLUSIVE


def test_fewer_than_five_runs_decide_nothing_and_say_how_many_are_missing() -> None:
    found = judge_metrics(RULE, Accepted(epoch(3), 3000), run_of({TTFT: 2.0}))
    assert {(m.status, m.more_pairs_needed) for m in found} == {(INCONCLUSIVE, 2)}
    assert "3 accepted runs have it, 5 are needed: 2 missing" in found[0].reason


def test_what_was_not_measured_is_inconclusive_and_nothing_left_is_fail() -> None:
    lost = {**run_of({}), TTFT: Value(None, "ns", 10, reason="needs 72 requests")}
    found = statuses(RULE, epoch(), lost)
    assert found[TTFT] == INCONCLUSIVE
    dead = {key: Value(None, "", 0, reason="no data") for key in CONTINUOUS} | {ERRORS: Value(1.0, "ratio", 400)}
    judged = judge_metrics(RULE, Accepted(epoch(), 6000), dead, nothing_succeeded=True)
    assert {m.metric for m in judged if m.status == FAIL} == {*(key[0] for key in CONTINUOUS), "error_ratio"}


def test_a_value_that_fell_among_failures_can_fail_but_not_pass() -> None:
    for number, status in ((100.0, INCONCLUSIVE), (300.0, FAIL)):
        beyond = {**run_of({}), TTFT: Value(number, "ns", 100, above=True)}
        assert statuses(RULE, epoch(), beyond)[TTFT] == status


@given(st.permutations(range(6)), st.sampled_from([1e-6, 1e6]))
def test_neither_units_nor_the_order_of_metrics_matter(order: list[int], scale: float) -> None:
    def scaled(run: dict[tuple[str, str], Value]) -> dict[tuple[str, str], Value]:
        return {k: v if k == ERRORS else replace(v, value=(v.value or 0) * scale) for k, v in run.items()}

    candidate = run_of({TTFT: 0.03, TOKENS: 0.08})
    other = replace(RULE, metrics=tuple(RULE.metrics[i] for i in order))
    expected = statuses(RULE, epoch(), candidate)
    assert statuses(other, [scaled(run) for run in epoch()], scaled(candidate)) == expected
