"""Do recorded instants look like the arrival process they were named after? Pure arithmetic.

Instants are turned into "expected arrivals so far" (the integral of the named rate): whatever the rate does, the gaps
of a Poisson process then are exponential with mean 1, those of a gamma process gamma with mean 1, those of a constant
one all 1 (the time-change theorem; Brown et al., Neural Computation 14, 2002).

A test alone finds any microsecond once there are enough arrivals: what counts is a distance that is both significant
and large.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.analysis.distributions import gamma_cdf, kolmogorov_p_value
from harness.metrics.columns import Floats, Ints

HALF_A_GAP = 0.5


@dataclass(frozen=True)
class Law:
    """A named arrival process. `expected`: instants (ns) to expected arrivals since some fixed instant."""

    process: str
    shape: float  # of the gaps' gamma distribution; infinite for constant arrivals
    expected: Callable[[Ints], Floats]


@dataclass(frozen=True)
class Fit:
    """How far instants are from the law. `distance` lies between 0 and 1; `p_value` is None for constant arrivals."""

    gaps: int
    distance: float
    p_value: float | None
    largest_deviation: float  # of the arrivals counted from those expected, in arrivals


def fit(instants_ns: Ints, law: Law) -> Fit | None:
    """How well these instants follow the law; None with fewer than two."""
    if instants_ns.size < 2:
        return None
    expected = law.expected(np.sort(instants_ns))
    gaps = np.diff(expected)
    drift = (expected - expected[0]) - np.arange(expected.size)
    largest = float(np.abs(drift).max())
    if math.isinf(law.shape):
        return Fit(gaps.size, _constant_distance(gaps), None, largest)
    distance = _distance(np.sort(gamma_cdf(gaps * law.shape, law.shape)))
    return Fit(gaps.size, distance, kolmogorov_p_value(distance, gaps.size), largest)


def _distance(probabilities: Floats) -> float:
    """Kolmogorov-Smirnov: the largest distance of sorted probabilities from the uniform distribution."""
    n = probabilities.size
    above = np.arange(1, n + 1) / n - probabilities
    below = probabilities - np.arange(n) / n
    return float(max(above.max(), below.max()))


def _constant_distance(gaps: Floats) -> float:
    """The share of gaps that are more than half a gap too long or too short."""
    return float((np.abs(gaps - 1.0) > HALF_A_GAP).mean())
