"""Order statistics of a percentile: from which n on it can be shown, and between which ranks it lies.

The number of n values at or below the true percentile is binomial(n, p), whatever the distribution, so two ranks
enclose it with known confidence (David & Nagaraja, Order Statistics, 3rd ed., §7.1). Independence of the values is
assumed: within one repetition that is optimistic, which is why these intervals never gate anything. Shares are in
thousandths (p99 = 990), so that ranks are exact integers.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

TAIL = 0.025  # equal-tailed 95%


def rank(permille: int, n: int) -> int:
    """The 1-based rank of a percentile among n values: the smallest k with k >= p·n (`inverted_cdf`)."""
    return max(1, -(-permille * n // 1000))


def smallest_n(permille: int) -> int:
    """The n from which on a two-sided 95% interval exists: p^n <= 2.5% and (1-p)^n < 2.5% (6, 36, 72, 368, 3688)."""
    farther = max(permille, 1000 - permille) / 1000
    return math.ceil(math.log(TAIL) / math.log(farther))


@lru_cache(maxsize=4096)
def interval_ranks(permille: int, n: int) -> tuple[int, int] | None:
    """The 1-based ranks (low, high) of the equal-tailed 95% interval; None where n is too small for one.

    low = ppf(2.5%), high = ppf(97.5%) + 1 of binomial(n, p), from the exact probabilities summed in logarithms.
    """
    if n < smallest_n(permille):
        return None
    first, cumulative = _binomial_cdf(n, permille / 1000)
    low = first + int(np.searchsorted(cumulative, TAIL))
    high = first + int(np.searchsorted(cumulative, 1 - TAIL)) + 1
    return low, high


def _binomial_cdf(n: int, p: float) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """(k0, P(X <= k) for k = k0, k0+1, …) over the range that holds all but about 1e-20 of the mass."""
    spread = 12 * math.sqrt(n * p * (1 - p)) + 30
    first, last = max(0, math.floor(n * p - spread)), min(n, math.ceil(n * p + spread))
    start = math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
    start += first * math.log(p) + (n - first) * math.log1p(-p)
    k = np.arange(first, last)
    steps = np.log((n - k) / (k + 1)) + math.log(p) - math.log1p(-p)
    logs = start + np.concatenate(([0.0], np.cumsum(steps)))
    return first, np.cumsum(np.exp(logs))
