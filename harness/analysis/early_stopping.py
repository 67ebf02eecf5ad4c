"""Does a percentile hold under its limit? The early-stopping test of MLPerf LoadGen (`loadgen/early_stopping.cc`).

With t of n requests over the limit, "at least a share p of all requests is within it" is accepted at confidence c
when P(Binomial(n, 1 - p) <= t) <= 1 - c (tolerance d = 0 there and here). The mirror test,
P(Binomial(n, 1 - p) >= t) <= 1 - c, says that the objective is lost. In between the data cannot decide. Assumes
independent requests.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

from scipy.stats import binom

HELD: Final = "held"
LOST: Final = "lost"
UNDECIDED: Final = "undecided"
Decision = Literal["held", "lost", "undecided"]


def judge(over: int, n: int, share: float, confidence: float) -> Decision:
    """The answer for `over` of `n` requests beyond the limit; `share` is the percentile as 0-1 (0.99 for p99)."""
    if n == 0:
        return UNDECIDED
    if binom.cdf(over, n, 1 - share) <= 1 - confidence:
        return HELD
    return LOST if binom.sf(over - 1, n, 1 - share) <= 1 - confidence else UNDECIDED


@lru_cache(maxsize=4096)
def requests_needed(over: int, share: float, confidence: float) -> int:
    """The smallest n at which `over` requests beyond the limit are few enough (p99 at 0.99: 0 → 459, 1 → 662)."""
    low, high = over, max(over + 1, 64)
    while binom.cdf(over, high, 1 - share) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binom.cdf(over, middle, 1 - share) <= 1 - confidence else (middle, high)
    return high
