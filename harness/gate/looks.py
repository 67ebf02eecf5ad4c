"""Looks: after how many pairs it is asked whether they decide, and how sure each look must be.

Asking several times makes errors more likely; every look therefore tests at a smaller level than `alpha`, the same at
each (Pocock 1977), found so that all looks together err with probability `alpha`. It is computed for normal statistics
whose correlation follows from the numbers of pairs, by the recursion of Armitage, McPherson & Rowe (1969).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

GRID = 401  # points of the integration, odd; more change the level by less than 1e-6


@lru_cache(maxsize=64)
def level_of(looks: tuple[int, ...], alpha: float) -> float:
    """The one-sided level at which every look tests."""
    if len(looks) == 1:
        return alpha

    def excess(level: float) -> float:
        return crossing(looks, float(-special.ndtri(level))) - alpha

    return float(optimize.brentq(excess, alpha / len(looks) / 2, alpha, xtol=1e-9))


def crossing(looks: Sequence[int], bound: float) -> float:
    """P(the statistic of any look is above `bound`) where nothing is to be found."""
    sums = np.linspace(-8 * looks[0] ** 0.5, bound * looks[0] ** 0.5, GRID)  # of effects with mean 0 and variance 1
    density = np.exp(-(sums**2) / (2 * looks[0])) / (2 * np.pi * looks[0]) ** 0.5
    for before, now in itertools.pairwise(looks):
        added, weights = now - before, _weights(sums)
        limit = bound * now**0.5
        new = np.linspace(-8 * now**0.5, limit, GRID)
        kernel = np.exp(-((new[:, None] - sums[None, :]) ** 2) / (2 * added)) / (2 * np.pi * added) ** 0.5
        density, sums = kernel @ (density * weights), new
    return float(1 - density @ _weights(sums))


def _weights(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Simpson's, on an odd number of equidistant points."""
    weights = np.full(x.size, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    found: npt.NDArray[np.float64] = weights * (x[1] - x[0]) / 3
    return found
