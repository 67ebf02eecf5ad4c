"""Arrivals of the named process fit it, those of another do not, whatever the rate does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.arrival_fit import Law, fit
from harness.analysis.thresholds import ARRIVAL_DISTANCE, ARRIVAL_P_VALUE

RATE, N = 50.0, 2000


def drawn(process: str, seed: int, shape: float = 1.0, n: int = N) -> np.ndarray:
    draw = np.random.default_rng(seed)
    gaps = {
        "poisson": lambda: draw.exponential(1 / RATE, n),
        "gamma": lambda: draw.gamma(shape, 1 / (shape * RATE), n),
        "constant": lambda: np.full(n, 1 / RATE),
    }[process]()
    return np.cumsum(gaps * 1e9).astype(np.int64)


def odd(instants: np.ndarray, law: Law) -> bool:
    found = fit(instants, law)
    assert found is not None
    if found.p_value is None:
        return found.distance > ARRIVAL_DISTANCE
    return found.distance > ARRIVAL_DISTANCE and found.p_value < ARRIVAL_P_VALUE


def steady_rate(process: str, rate: float, shape: float, start_ns: int) -> Law:
    return Law(process, shape, lambda instants: (instants - start_ns) * (rate / 1e9))


LAWS = {
    "poisson": steady_rate("poisson", RATE, 1.0, 0),
    "bursty": steady_rate("gamma", RATE, 0.5, 0),
    "regular": steady_rate("gamma", RATE, 4.0, 0),
    "constant": steady_rate("constant", RATE, math.inf, 0),
}
SAMPLES = {
    "poisson": ("poisson", 1.0),
    "bursty": ("gamma", 0.5),
    "regular": ("gamma", 4.0),
    "constant": ("constant", 1),
}


@pytest.mark.parametrize("named", LAWS)
@pytest.mark.parametrize("sent", SAMPLES)
def test_only_the_named_process_fits(named, sent):
    process, shape = SAMPLES[sent]
    verdicts = {odd(drawn(process, seed, shape), LAWS[named]) for seed in range(20)}
    assert verdicts == {named != sent}


def test_the_statistic_equals_a_slow_kolmogorov_smirnov():
    instants = drawn("poisson", 1, n=200)
    gaps = sorted(np.diff(instants).tolist())
    slow = 0.0
    for i, gap in enumerate(gaps):
        probability = 1 - math.exp(-gap / 1e9 * RATE)
        slow = max(slow, abs((i + 1) / len(gaps) - probability), abs(i / len(gaps) - probability))
    found = fit(instants, LAWS["poisson"])
    assert found is not None
    assert found.distance == pytest.approx(slow, abs=1e-12)


def test_p_values_of_the_named_process_are_spread_evenly():
    values = [fit(drawn("poisson", seed, n=300), LAWS["poisson"]).p_value for seed in range(400)]
    assert np.mean(np.asarray(values) < 0.1) == pytest.approx(0.1, abs=0.05)


def test_a_rate_that_changes_is_taken_out_by_the_time_change():
    law = Law("poisson", 1.0, lambda instants: RATE * (instants / 1e9) ** 2 / 20)
    expected = np.cumsum(np.random.default_rng(5).exponential(1.0, N))
    ramp = (np.sqrt(expected * 20 / RATE) * 1e9).astype(np.int64)
    assert not odd(ramp, law)
    assert odd(ramp, LAWS["poisson"])


def test_a_send_that_takes_its_time_does_not_fire_on_microseconds():
    late = np.maximum.accumulate(drawn("poisson", 2, n=20_000) + 200_000)
    spaced = np.maximum(late, np.concatenate([[0], late[:-1] + 100_000]))
    assert not odd(spaced, LAWS["poisson"])


def test_a_freeze_shows_as_arrivals_beside_a_constant_schedule():
    instants = drawn("constant", 1)
    frozen = np.where((instants > 5e9) & (instants < 7e9), int(7e9), instants)
    found = fit(frozen, LAWS["constant"])
    assert found is not None
    assert found.largest_deviation == pytest.approx(2 * RATE, abs=2)


def test_fewer_than_two_arrivals_fit_anything():
    assert fit(np.asarray([1]), LAWS["poisson"]) is None
