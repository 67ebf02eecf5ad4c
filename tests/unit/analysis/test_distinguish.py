"""Simultaneous intervals: against a closed form, and how often equal configurations are called different."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.distinguish import compare


def test_two_compared_are_welchs_interval() -> None:
    """With two, the studentized range is sqrt(2) times Student's t: Welch's test, computed here by hand."""
    from scipy.stats import t

    best, other = [110.0, 113.0, 108.0, 111.0], [100.0, 99.0, 104.0]
    x, y = np.log(best), np.log(other)
    a, b = x.var(ddof=1) / 4, y.var(ddof=1) / 3
    freedom = math.floor(4 * (a + b) ** 2 / (a**2 / 3 + b**2 / 2)) / 4
    half = t.ppf(0.975, freedom) * math.sqrt(a + b)
    found = compare(best, other, 2)
    assert found.low == pytest.approx(math.expm1(x.mean() - y.mean() - half), rel=1e-3)
    assert found.high == pytest.approx(math.expm1(x.mean() - y.mean() + half), rel=1e-3)


@pytest.mark.parametrize("spreads", [(0.01, 0.01, 0.01), (0.003, 0.003, 0.03)], ids=["equal", "one ten times wider"])
def test_equal_configurations_are_rarely_called_different(spreads: tuple[float, ...]) -> None:
    draw = np.random.default_rng(7)
    sweeps, wrong = 300, 0
    for _ in range(sweeps):
        values = [100 * np.exp(draw.normal(0, spread, 3)) for spread in spreads]
        ranked = sorted(values, key=lambda v: -float(np.median(v)))
        wrong += any(compare(ranked[0].tolist(), other.tolist(), 3).real for other in ranked[1:])
    assert wrong <= 0.05 * sweeps + 3 * math.sqrt(0.05 * 0.95 * sweeps)


def test_more_candidates_make_the_interval_wider() -> None:
    best, other = [110.0, 113.0, 108.0], [100.0, 99.0, 104.0]
    two, ten = compare(best, other, 2), compare(best, other, 10)
    assert two.low is not None
    assert ten.low is not None
    assert ten.low < two.low


def test_drift_widens_both_sides() -> None:
    best, other = [110.0, 110.0], [100.0, 100.0]
    assert compare(best, other, 2).real
    wide = compare(best, other, 2, drift=math.log(1.2))
    assert wide.low is not None
    assert wide.high is not None
    assert (1 + wide.low, 1 + wide.high) == (pytest.approx(1.1 / 1.2), pytest.approx(1.1 * 1.2))
