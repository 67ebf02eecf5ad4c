"""Goodness of fit for the tests of arrivals: Kolmogorov-Smirnov, and distribution functions written the slow way."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray


def kolmogorov_p(values: NDArray[np.float64], cdf: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
    """The p-value of values against a distribution (correction for n by Stephens 1970, asymptotic series)."""
    ordered = cdf(np.sort(values))
    count = len(ordered)
    ranks = np.arange(count + 1) / count
    distance = float(max((ranks[1:] - ordered).max(), (ordered - ranks[:-1]).max()))
    scaled = (sqrt(count) + 0.12 + 0.11 / sqrt(count)) * distance
    if scaled < 0.2:  # the series does not converge there; p is 1 to 12 digits
        return 1.0
    return max(0.0, min(1.0, 2 * sum((-1) ** (k - 1) * exp(-2 * k * k * scaled**2) for k in range(1, 101))))


def exponential(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution function of mean 1."""
    return 1 - np.exp(-values)


def uniform(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution function on [0, 1]."""
    return np.clip(values, 0, 1)


def gamma(shape: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Distribution function of mean 1: the regularized lower incomplete gamma function by its power series."""

    def below(value: float) -> float:
        x = value * shape
        if x <= 0:
            return 0.0
        term = total = 1 / shape
        for n in range(1, 2000):
            term *= x / (shape + n)
            total += term
            if term < total * 1e-15:
                break
        return min(1.0, total * exp(shape * log(x) - x - lgamma(shape)))

    return lambda values: np.asarray([below(value) for value in values])


def dispersion(instants_s: NDArray[np.float64], bin_s: float, end_s: float) -> float:
    """Index of dispersion: variance over mean of the counts per bin. 1 for Poisson, 0 for an even spacing."""
    counts = np.histogram(instants_s, bins=np.arange(0, end_s + bin_s / 2, bin_s))[0]
    return float(counts.var() / counts.mean())
