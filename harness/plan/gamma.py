"""Gamma-distributed numbers of mean 1, the i-th a pure function of the seed and i.

Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000): of the attempts for number i,
each with streams of its own, the first accepted one counts. Exact, not an approximation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.plan.lengths import normal_quantiles
from harness.plan.seeds import derive, uniforms

MOST_ATTEMPTS = 64  # each is accepted with probability above 0.95


def unit_gammas(run_seed: int, qualifiers: tuple[str, ...], shape: float, count: int) -> NDArray[np.float64]:
    """The first `count` numbers with this shape and mean 1 (variance 1 / shape)."""
    boosted = shape if shape >= 1 else shape + 1
    drawn = _at_least_one(run_seed, qualifiers, boosted, count)
    if shape < 1:  # Gamma(k) = Gamma(k + 1) x U^(1/k), their section 6
        drawn *= uniforms(derive(run_seed, "arrivals", *qualifiers, "boost"), count) ** (1 / shape)
    return drawn / shape


def _at_least_one(run_seed: int, qualifiers: tuple[str, ...], shape: float, count: int) -> NDArray[np.float64]:
    d = shape - 1 / 3
    c = 1 / np.sqrt(9 * d)
    drawn = np.full(count, np.nan)
    for attempt in range(MOST_ATTEMPTS):
        open_ones = np.flatnonzero(np.isnan(drawn))
        if len(open_ones) == 0:
            break
        streams = [derive(run_seed, "arrivals", *qualifiers, kind, str(attempt)) for kind in ("normal", "uniform")]
        until = int(open_ones[-1]) + 1
        x = normal_quantiles(uniforms(streams[0], until)[open_ones], 0.0, 1.0)
        u = uniforms(streams[1], until)[open_ones]
        v = (1 + c * x) ** 3
        positive = v > 0
        logarithm = np.log(np.where(positive, v, 1.0))
        accepted = positive & (np.log(u) < 0.5 * x**2 + d - d * v + d * logarithm)
        drawn[open_ones[accepted]] = d * v[accepted]
    return drawn
