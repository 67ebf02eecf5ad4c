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
