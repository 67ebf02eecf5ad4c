"""Distribution functions against closed forms, printed tables and slow numerical integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.distributions import gamma_cdf, kolmogorov_p_value, student_t_quantile


def integral(shape: float, upper: float, steps: int = 200_000) -> float:
    """Midpoint rule; below shape 1 on u = x^shape, which takes the pole at 0 away."""
    if shape >= 1:
        x = (np.arange(steps) + 0.5) / steps * upper
        return float(np.exp((shape - 1) * np.log(x) - x - math.lgamma(shape)).sum() * upper / steps)
    u = (np.arange(steps) + 0.5) / steps * upper**shape
    return float(np.exp(-(u ** (1 / shape))).sum() * upper**shape / steps / shape / math.gamma(shape))


@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0, 2.0, 7.5, 40.0])
def test_gamma_equals_the_integral_of_its_density(shape):
    points = np.asarray([0.01, 0.3, 1.0, 2.5, 8.0]) * shape
    assert gamma_cdf(points, shape) == pytest.approx([integral(shape, x) for x in points], abs=2e-6)


def test_gamma_with_whole_shape_equals_its_closed_form():
    x = np.linspace(0.0, 30.0, 301)
    assert gamma_cdf(x, 1.0) == pytest.approx(1 - np.exp(-x), abs=1e-12)
    assert gamma_cdf(x, 3.0) == pytest.approx(1 - np.exp(-x) * (1 + x + x**2 / 2), abs=1e-12)


def test_gamma_of_nothing_is_nothing():
    assert gamma_cdf(np.empty(0), 2.0).size == 0


# Critical values of the two-sided Kolmogorov-Smirnov test: Miller 1956, as printed in textbooks.
@pytest.mark.parametrize(
    ("n", "distance", "p"), [(10, 0.409, 0.05), (20, 0.294, 0.05), (40, 0.210, 0.05), (20, 0.352, 0.01)]
)
def test_kolmogorov_equals_the_printed_critical_values(n, distance, p):
    assert kolmogorov_p_value(distance, n) == pytest.approx(p, rel=0.06)


def test_kolmogorov_is_a_probability_that_falls_with_the_distance():
    values = [kolmogorov_p_value(d, 100) for d in np.linspace(0.0, 1.0, 201)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1.0
    assert 0.0 <= values[-1] < 1e-12


# One-sided quantiles of Student's t, as printed in every table.
@pytest.mark.parametrize(
    ("share", "freedom", "t"),
    [(0.95, 1, 6.314), (0.95, 2, 2.920), (0.99, 3, 4.541), (0.99, 10, 2.764), (0.975, 30, 2.042), (0.99, 98, 2.365)],
)
def test_students_t_equals_the_printed_table(share, freedom, t):
    assert student_t_quantile(share, freedom) == pytest.approx(t, abs=6e-4)
