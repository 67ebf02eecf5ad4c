"""What n pairs can see: the minimum detectable effect, and the pairs that would decide. Noncentral t, log scale.

With n pairs of spread s (standard deviation) a claim at level a succeeds with the wanted power when the truth lies
ncp · s/sqrt(n) away from the margin, ncp from the noncentral t distribution with n - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from functools import lru_cache

from scipy import special, stats

POWER = 0.8
SPREAD_CONFIDENCE = 0.8  # below FEW pairs the spread may well be larger than it looks: its upper bound is used
FEW = 8
MOST_PAIRS = 1000


@lru_cache(maxsize=4096)
def _noncentrality(n: int, level: float, power: float) -> float:
    critical = float(stats.t.isf(level, n - 1))
    return float(special.nctdtrinc(n - 1, 1 - power, critical))


def minimum_detectable(spread: float, n: int, level: float, power: float = POWER) -> float:
    """The smallest distance between truth and margin that n pairs tell from 0 with `power`."""
    return _noncentrality(n, level, power) * spread / math.sqrt(n)


def pairs_needed(spread: float, distance: float, level: float, power: float = POWER, least: int = 3) -> int | None:
    """The smallest n at which `distance` can be told with `power`; None above MOST_PAIRS."""
    if distance <= 0 or minimum_detectable(spread, MOST_PAIRS, level, power) > distance:
        return None
    low, high = least - 1, MOST_PAIRS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if minimum_detectable(spread, middle, level, power) <= distance else (middle, high)
    return high


def cautious_spread(spread: float, n: int) -> float:
    """The spread to plan with: below FEW pairs its one-sided upper bound, sqrt((n-1)s²/chi²)."""
    if n >= FEW:
        return spread
    return spread * math.sqrt((n - 1) / float(stats.chi2.ppf(1 - SPREAD_CONFIDENCE, n - 1)))
