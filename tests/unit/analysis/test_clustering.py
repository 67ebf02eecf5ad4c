"""Requests over a limit come in clusters: what that does to the early-stopping test, at queues of known optimum."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from harness.analysis import early_stopping
from harness.analysis.clustering import clustering, judge_clustered
from harness.analysis.early_stopping import HELD, LOST
from tests.oracle.queue import optimum, over_md1, over_mmc, waits

P90 = 0.9
WINDOWS = 200
QUEUES = {  # service time, servers, law, limit, closed form
    "one server, fixed": (0.01, 1, "fixed", 0.012, partial(over_md1, service_s=0.01, limit_s=0.012)),
    "one server, fixed, fuller": (0.01, 1, "fixed", 0.03, partial(over_md1, service_s=0.01, limit_s=0.03)),
    "four servers, exponential": (
        0.04,
        4,
        "exponential",
        0.04,
        partial(over_mmc, service_s=0.04, servers=4, limit_s=0.04),
    ),
}


def _answers(name: str, of_optimum: float, n: int, confidence: float) -> tuple[list[str], list[str]]:
    """The answers of the plain test and of the one that knows clusters, one per simulated window."""
    service_s, servers, law, limit_s, over_at = QUEUES[name]
    rate = of_optimum * optimum(over_at, servers / service_s, P90)
    plain, clustered = [], []
    for seed in range(WINDOWS):
        values = waits(seed, rate, service_s, servers, n, law)
        over = values > limit_s
        plain.append(early_stopping.judge(int(over.sum()), n, P90, confidence))
        factor = clustering(values, over, P90)
        clustered.append(judge_clustered(float(over.sum()), n, P90, confidence, factor))
    return plain, clustered


@pytest.mark.parametrize("name", QUEUES)
def test_the_simulated_queue_agrees_with_its_closed_form(name: str) -> None:
    service_s, servers, law, limit_s, over_at = QUEUES[name]
    rate = optimum(over_at, servers / service_s, P90)
    assert over_at(rate) == pytest.approx(0.1, abs=1e-9)
    assert (waits(7, rate, service_s, servers, 60_000, law) > limit_s).mean() == pytest.approx(0.1, abs=0.015)


def test_the_plain_test_accepts_the_very_limit_far_more_often_than_it_says() -> None:
    plain, clustered = _answers("one server, fixed, fuller", 1.0, 1000, 0.95)
    assert plain.count(HELD) / WINDOWS > 0.2  # 0.05 is what it says
    assert clustered.count(HELD) / WINDOWS < 0.13


@pytest.mark.parametrize("name", QUEUES)
def test_two_confirmations_at_99_hardly_ever_accept_a_rate_above_the_optimum(name: str) -> None:
    _, clustered = _answers(name, 1.07, 1000, 0.99)
    assert (clustered.count(HELD) / WINDOWS) ** 2 < 0.01


@pytest.mark.parametrize("name", QUEUES)
def test_a_rate_well_below_the_optimum_is_hardly_ever_called_lost_and_mostly_held(name: str) -> None:
    _, clustered = _answers(name, 0.75, 1000, 0.95)
    assert clustered.count(LOST) / WINDOWS < 0.02
    assert clustered.count(HELD) / WINDOWS > 0.7


def test_clusters_out_of_reach_of_the_limit_do_not_count_and_those_within_it_do() -> None:
    values = np.repeat(np.random.default_rng(9).random(100), 10)  # 0 to 1, ten equal ones in a row
    none = np.zeros(values.size, bool)
    assert clustering(values, none, P90) == pytest.approx(10, rel=0.4)
    assert clustering(values, none, P90, limit=1.5) == clustering(values, none, P90)
    assert clustering(values, none, P90, limit=10.0) == 1.0
    assert clustering(100 + values, none, P90, limit=110.0) == 1.0, "what counts is the way, not the ratio"
    assert clustering(100 + values, none, P90, limit=101.5) == clustering(values, none, P90)
    beyond = values > P90
    assert clustering(values, beyond, P90, limit=P90) == clustering(values, beyond, P90)
    failed = np.where(values > 0.3, np.inf, values)
    assert clustering(failed, np.isinf(failed), P90, limit=1.0) == pytest.approx(10, rel=0.5)


@pytest.mark.parametrize("utilisation", ["long queue", "sixteen servers"])
def test_looking_within_reach_only_does_not_accept_windows_too_short_for_their_queue(utilisation: str) -> None:
    """M/M/1 at 95% utilisation takes longer to fill than the window lasts; all rates are at the very limit."""
    service_s, servers, limit_s, n = (0.0087, 1, 0.4, 560) if utilisation == "long queue" else (0.16, 16, 0.2, 300)
    rate = optimum(partial(over_mmc, service_s=service_s, servers=servers, limit_s=limit_s), servers / service_s, P90)
    held = {None: 0, limit_s: 0}
    for seed in range(WINDOWS):
        values = waits(seed, rate, service_s, servers, n, "exponential")
        over = values > limit_s
        for limit in held:
            factor = clustering(values, over, P90, limit)
            held[limit] += judge_clustered(float(over.sum()), over.size, P90, 0.99, factor) == HELD
    assert held[limit_s] <= held[None] + 0.03 * WINDOWS
    assert held[limit_s] < 0.2 * WINDOWS


def test_independent_requests_count_almost_fully() -> None:
    random = np.random.default_rng(3)
    found = [clustering(values := random.random(1000), values > P90, P90) for _ in range(50)]
    assert np.median(found) < 1.3


def test_requests_that_come_in_tens_count_a_tenth() -> None:
    random = np.random.default_rng(5)
    values = np.repeat(random.random(1000), 10)
    assert clustering(values, values > P90, P90) == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize("over", [0, 1, 5, 8, 20, 100, 460])
@pytest.mark.parametrize(("n", "share"), [(460, 0.99), (460, 0.9)])
def test_without_clusters_the_answer_is_the_plain_one(over: int, n: int, share: float) -> None:
    assert judge_clustered(over, n, share, 0.99, 1.0) == early_stopping.judge(over, n, share, 0.99)


def test_no_requests_and_one_request_decide_nothing() -> None:
    assert judge_clustered(0, 0, P90, 0.95, 1.0) == "undecided"
    assert clustering(np.array([1.0]), np.array([False]), P90) == 1.0
