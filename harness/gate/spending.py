"""Looking more than once without crying wolf: what a p-value is worth when pairs may be judged at several looks.

Every declared look uses the same nominal level a (Pocock's boundary, Biometrika 64, 1977): a claim at any look is made
when its p is at most a. The *sequential p-value* of p is the chance, with the truth exactly at the margin, that the
smallest p over all declared looks is at most p. A claim is made when it is at most alpha, so the error rate of all
looks together is alpha, for any set of looks; and it is an ordinary p-value, so Holm may be applied to it.

For Student's t that chance is computed, not simulated. With S the sum and R the length of the vector of n effects minus
the margin, C = S / (sqrt(n)·R) fixes t, and when a block of m effects with cosine C' and length R' is added,

    sqrt(n+m)·C_new = sqrt(n·B)·C + sqrt(m·(1-B))·C',   B = R² / (R² + R'²) ~ Beta(n/2, m/2),

with C, C' and B independent, and B independent of all cosines before (direction and length of a normal vector are).
So C is a Markov chain with a known kernel, whatever the spread is. Looks judged by ranks have no such law: each adds
the level that it can really attain (the union bound, valid under any dependence).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.gate.intervals import signed_rank_attained
from harness.gate.rule import GatedMetric, Method, Rule

Array = npt.NDArray[np.float64]
Schedule: TypeAlias = tuple[tuple[int, Method], ...]  # (pairs, method) of every look, ascending

CELLS, NODES = 96, 16  # cells of C between two looks, nodes of the quadrature over B
ONE_BY_ONE_NODES = 96  # a block of one effect has C' = ±1: a step, which few nodes resolve badly
FINEST = 10.0  # ranks are used from where their smallest p is at most 1/10 of the strictest level asked of them
LOWEST_Z = -6.0  # where the cells begin, as a normal quantile
LOWEST_P = 1e-9  # below it the union bound is used


def schedule(rule: Rule, metric: GatedMetric, pairs: int) -> Schedule:
    """The looks at one metric, each with its method. `pairs` that are none of the declared looks are one look more."""
    return tuple((n, method_at(rule, metric, n)) for n in sorted({*rule.looks, pairs}))


def method_at(rule: Rule, metric: GatedMetric, n: int) -> Method:
    """The metric's own method where n pairs allow it (known before any data), Student's t below."""
    strictest = rule.alpha / (max(1, len(rule.metrics)) * len(rule.looks))
    return metric.method if 2.0**-n <= strictest / FINEST else "t"


def by_ranks(looks: Schedule) -> Schedule:
    """The same looks, all judged by ranks: for effects that are infinite."""
    return tuple((n, "signed_rank") for n, _ in looks)


def sequential_p(p: float, looks: Schedule) -> float:
    """The chance, with the truth at the margin, that the smallest p over all looks is at most `p`."""
    if p <= 0:
        return 0.0
    spent = crossing(p, tuple(n for n, method in looks if method == "t"))
    spent += sum(signed_rank_attained(n, p) for n, method in looks if method == "signed_rank")
    return min(1.0, max(p, spent))


@lru_cache(maxsize=1024)
def nominal_level(alpha: float, looks: Schedule) -> float:
    """The largest p whose sequential p-value is at most `alpha`: the level of one look."""
    low, high = alpha / (2 * len(looks)), alpha
    if sequential_p(high, looks) <= alpha:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sequential_p(middle, looks) <= alpha else (low, middle)
    return low


def crossing(p: float, sizes: tuple[int, ...]) -> float:
    """P(smallest one-sided p of Student's t over looks at `sizes` effects <= p), the truth at the margin."""
    if len(sizes) < 2 or p >= 0.5 or p < LOWEST_P:
        return min(1.0, p * len(sizes))
    known_p, known_crossing = _curve(sizes)
    return float(math.exp(np.interp(math.log(p), known_p, known_crossing)))


@lru_cache(maxsize=64)
def _curve(sizes: tuple[int, ...]) -> tuple[Array, Array]:
    """ln p and ln of the crossing chance at p, on a grid fine enough for linear interpolation."""
    p = np.concatenate([np.geomspace(LOWEST_P, 1e-4, 8)[:-1], np.geomspace(1e-4, 0.5, 28)])
    chances = np.maximum.accumulate([crossing_exactly(float(level), sizes) for level in p])
    return np.log(p), np.log(chances)


def crossing_exactly(p: float, sizes: tuple[int, ...]) -> float:
    """The recursion over looks described above; the error is about 1% of the result (see the tests)."""
    edges, inside = _cells(p, sizes[0])
    mass = np.diff(special.ndtr(np.linspace(LOWEST_Z, -special.ndtri(p), CELLS + 1)))
    total = p
    for n, following in pairwise(sizes):
        edges, middles = _cells(p, following)
        above = _chance_above(edges, inside, n, following - n) @ mass
        above[0] = mass.sum()
        total += float(above[-1])
        inside, mass = middles, -np.diff(above)
    return total


def _cells(p: float, n: int) -> tuple[Array, Array]:
    """Edges and middles of cells of C for n effects, from its lowest value to where p is reached."""
    z = np.linspace(LOWEST_Z, -special.ndtri(p), CELLS + 1)
    edges, middles = _cosine(special.ndtr(-z), n), _cosine(special.ndtr(-(z[1:] + z[:-1]) / 2), n)
    edges[0] = -1.0
    return edges, middles


def _cosine(tail: Array, n: int) -> Array:
    """The C of n effects whose t has the upper tail `tail`."""
    t = -special.stdtrit(n - 1, tail)
    return np.asarray(t / np.sqrt(n - 1 + t * t))


def _chance_above(edges: Array, inside: Array, n: int, m: int) -> Array:
    """P(C_new > edge | C = inside), shape (edges, inside): the kernel, by Gauss-Jacobi quadrature over B."""
    nodes, weights = special.roots_jacobi(ONE_BY_ONE_NODES if m == 1 else NODES, m / 2 - 1, n / 2 - 1)
    b = (1 + nodes) / 2
    needed = edges[:, None, None] * math.sqrt(n + m) - inside[None, :, None] * np.sqrt(n * b)
    return np.asarray(_block_above(needed / np.sqrt(m * (1 - b)), m) @ (weights / weights.sum()))


def _block_above(cosine: Array, m: int) -> Array:
    """P(C' > cosine) for a block of m effects."""
    if m == 1:
        return np.where(cosine < -1, 1.0, np.where(cosine < 1, 0.5, 0.0))
    clipped = np.clip(cosine, -1 + 1e-15, 1 - 1e-15)
    return np.asarray(special.stdtr(m - 1, -clipped * np.sqrt((m - 1) / (1 - clipped * clipped))))
