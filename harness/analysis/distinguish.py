"""How much better is the best of several, and is that more than noise? Simultaneous intervals for ratios.

Games and Howell (1976) on logarithms: Welch's standard error and degrees of freedom for each pair, with the quantile
of the studentized range over all that are compared. The intervals hold together, so also for the pair that was picked
because it came out on top. In simulation with 2 to 5 repetitions and equal means, at most 6% of the sweeps called any
difference real (`tests/unit/analysis/test_distinguish.py`); Tukey's pooled variance gave up to 23% where the spreads
differ. Values are above 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, variance

FEWEST = 2  # repetitions, below which nothing is known about the noise


@dataclass(frozen=True)
class RatioInterval:
    """best / other - 1, with its simultaneous interval; `low` and `high` are None where the noise is not known."""

    ratio: float
    low: float | None
    high: float | None

    @property
    def real(self) -> bool:
        """Whether the best is better beyond noise."""
        return self.low is not None and self.low > 0


def compare(
    best: Sequence[float], other: Sequence[float], compared: int, *, confidence: float = 0.95, drift: float = 0.0
) -> RatioInterval:
    """How much larger `best` is than `other`, from the values of their repetitions.

    `compared`: among how many `best` was chosen. `drift`: ln of the largest ratio between two visits of the reference;
    the interval is that much wider on both sides.
    """
    left, right = [math.log(v) for v in best], [math.log(v) for v in other]
    difference = fmean(left) - fmean(right)
    ratio = math.expm1(difference)
    if min(len(left), len(right)) < FEWEST:
        return RatioInterval(ratio, None, None)
    half = _half_width(left, right, compared, confidence) + drift
    return RatioInterval(ratio, math.expm1(difference - half), math.expm1(difference + half))


def _half_width(left: Sequence[float], right: Sequence[float], compared: int, confidence: float) -> float:
    a, b = variance(left) / len(left), variance(right) / len(right)
    if a + b == 0:
        return 0.0
    freedom = (a + b) ** 2 / (a**2 / (len(left) - 1) + b**2 / (len(right) - 1))
    return _quantile(max(2, compared), _rounded_down(freedom), confidence) * math.sqrt((a + b) / 2)


def _rounded_down(freedom: float) -> float:
    """To quarters, from 10 on to whole numbers: a quantile costs 20 ms, and fewer degrees make the interval wider."""
    return math.floor(freedom) if freedom >= 10 else max(1.0, math.floor(4 * freedom) / 4)


@lru_cache(maxsize=1024)
def _quantile(compared: int, freedom: float, confidence: float) -> float:
    from scipy.stats import studentized_range  # half a second to import: only where repetitions are compared

    return float(studentized_range.ppf(confidence, compared, freedom))
