"""MSER-5 and the slope against slow oracles and on series whose answer is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.steady import batch_means, growth, truncation


def slow_cut(series: list[float]) -> int:
    """MSER-5 as it is written down, term by term."""
    rest = len(series) % 5
    batches = [sum(series[i : i + 5]) / 5 for i in range(rest, len(series), 5)]
    scores = []
    for d in range(len(batches) - 4):
        kept = batches[d:]
        mean = sum(kept) / len(kept)
        scores.append(sum((z - mean) ** 2 for z in kept) / len(kept) ** 2)
    return scores.index(min(scores))


@given(st.lists(st.integers(0, 1000), min_size=50, max_size=120))
def test_the_cut_equals_the_slow_oracle(values):
    found = truncation(np.asarray(values, np.float64))
    assert found is not None
    kept = slow_cut([float(v) for v in values])
    scores_tie = found.cut != kept
    assert not scores_tie or found.noise == pytest.approx(0, abs=1e-9)


def noise(n: int, level: float, deviation: float, seed: int = 1) -> np.ndarray:
    draw = random.Random(seed)
    return np.asarray([draw.gauss(level, deviation) for _ in range(n)])


def test_a_level_series_has_no_shift_that_matters():
    shifts = [truncation(noise(100, 50, 5, seed)) for seed in range(200)]
    alarms = [t for t in shifts if t is not None and t.shift > 0.15 and t.significance > 4]
    assert not alarms


def test_a_settling_start_is_cut_where_it_ends():
    series = np.concatenate([np.linspace(100, 50, 20), np.full(80, 50.0)]) + noise(100, 0, 1)
    found = truncation(series)
    assert found is not None
    assert found.found
    assert 3 <= found.cut <= 5, "20 values are 4 batches"
    assert found.shift > 0.3
    assert found.significance > 4


def test_a_series_that_never_settles_is_cut_in_its_second_half():
    found = truncation(np.linspace(10, 100, 100) + noise(100, 0, 1))
    assert found is not None
    assert not found.found
    assert found.significance > 4


def test_short_series_say_nothing():
    assert truncation(np.arange(49.0)) is None
    assert truncation(np.full(100, np.nan)) is None
    assert growth(np.arange(7.0)) is None


def test_batches_leave_out_the_rest_at_the_beginning():
    assert batch_means(np.arange(12.0), 5) == pytest.approx([4.0, 9.0])


def test_growth_is_the_rise_of_the_line():
    line = growth(3.0 + 0.5 * np.arange(101))
    assert line is not None
    assert (line.mean, line.rise) == pytest.approx((28.0, 50.0))
    assert line.rise_at_least == pytest.approx(50.0), "no residuals, no doubt"


def test_the_lower_bound_of_growth_is_rarely_above_the_truth():
    bounds = [growth(noise(100, 10, 3, seed) + np.linspace(0, 5, 100)) for seed in range(400)]
    misses = sum(b is not None and b.rise_at_least > 5 for b in bounds)
    assert misses <= 12, "1% of 400, give or take"


def test_growth_of_dependent_values_is_doubted_more():
    draw, value, walk = random.Random(3), 0.0, []
    for _ in range(100):
        value = 0.9 * value + draw.gauss(0, 1)
        walk.append(value)
    dependent = growth(np.asarray(walk))
    shuffled = growth(np.asarray(random.Random(4).sample(walk, len(walk))))
    assert dependent is not None
    assert shuffled is not None
    assert dependent.rise - dependent.rise_at_least > 2 * (shuffled.rise - shuffled.rise_at_least)
