"""One-sided p-values and bounds for the location of n effects: Student's t, and Wilcoxon's signed rank inverted.

The signed-rank bounds are order statistics of the Walsh averages (x_i + x_j)/2, i <= j (Hollander & Wolfe,
Nonparametric Statistical Methods, §3.3); its p-values use the exact null distribution. Ties with the tested bound count
against the claim. Effects of ±infinity have ranks, but no t. Effects without spread are decided by their value.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.gate.rule import Method

Array = npt.NDArray[np.float64]
SAME = 1e-12  # effects closer than this are one value: rounding of ln(k·a / k·b)


def spread_is_zero(x: Array) -> bool:
    """Whether all effects are one value (also: all +infinity)."""
    first = x[0]
    return bool(np.all(x == first)) or bool(np.all(np.isfinite(x)) and np.ptp(x) <= SAME * max(1.0, abs(first)))


def p_above(x: Array, bound: float, method: Method) -> float:
    """One-sided p against "the location is at most `bound`": small where the effects lie above it."""
    if spread_is_zero(x):
        return 0.0 if x[0] > bound + SAME else 1.0
    if method == "signed_rank" or not np.all(np.isfinite(x)):
        return signed_rank_tail(x.size, int(np.count_nonzero(walsh(x) > bound)))
    n = x.size
    return float(special.stdtr(n - 1, -(x.mean() - bound) * math.sqrt(n) / x.std(ddof=1)))


def p_below(x: Array, bound: float, method: Method) -> float:
    """One-sided p against "the location is at least `bound`"."""
    return p_above(-x, -bound, method)


def lower_bound(x: Array, level: float, method: Method) -> float:
    """The bound that the location exceeds with confidence 1 - `level`; -infinity where ranks of so few cannot tell."""
    if spread_is_zero(x):
        return float(x[0])
    if method == "signed_rank" or not np.all(np.isfinite(x)):
        rank = signed_rank_critical(x.size, level)
        return -math.inf if rank is None else float(np.sort(walsh(x))[rank])
    n = x.size
    return float(x.mean() + special.stdtrit(n - 1, level) * x.std(ddof=1) / math.sqrt(n))


def upper_bound(x: Array, level: float, method: Method) -> float:
    """The bound that the location stays below with confidence 1 - `level`."""
    return -lower_bound(-x, level, method)


def estimate(x: Array, method: Method) -> float:
    """The location: the mean, or by ranks the median of the Walsh averages (Hodges-Lehmann)."""
    if spread_is_zero(x):
        return float(x[0])
    if method == "t" and np.all(np.isfinite(x)):
        return float(x.mean())
    averages = np.sort(walsh(x))
    low, high = averages[(averages.size - 1) // 2], averages[averages.size // 2]
    return float(low) if low == high else float((low + high) / 2)


def walsh(x: Array) -> Array:
    """All n(n+1)/2 averages of two effects. +infinity with -infinity supports no claim: -infinity."""
    i, j = np.triu_indices(x.size)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((x[i] + x[j]) / 2, nan=-math.inf, posinf=math.inf, neginf=-math.inf)


@lru_cache(maxsize=256)
def signed_rank_tails(n: int) -> Array:
    """P(W >= w) for w = 0 … n(n+1)/2 under the hypothesis, by counting subsets of the ranks 1 … n."""
    chances = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(chances.size + rank)
        longer[: chances.size] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    tails = np.cumsum(chances[::-1])[::-1]
    tails.setflags(write=False)
    return np.minimum(tails, 1.0)


def signed_rank_tail(n: int, w: int) -> float:
    """The one-sided p of w Walsh averages beyond the bound."""
    return float(signed_rank_tails(n)[w])


def signed_rank_critical(n: int, level: float) -> int | None:
    """Which sorted Walsh average (from 0) is the lower bound at `level`; None where 2^-n is already above it."""
    tails = signed_rank_tails(n)
    allowed = np.flatnonzero(tails <= level)
    return None if allowed.size == 0 else int(tails.size - 1 - allowed[0])


def signed_rank_attained(n: int, level: float) -> float:
    """The largest p of n pairs that does not exceed `level`: what a test at `level` really spends."""
    tails = signed_rank_tails(n)
    return float(np.max(tails[tails <= level], initial=0.0))
