"""Token lengths: whole numbers drawn from the distributions of `harness.scenario.workload`.

Every length is the inverse distribution function at one uniform number: the i-th length is a pure function of the seed
and i, and drawing more never changes the ones before. Lengths are tokens.
"""

from __future__ import annotations

from math import log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.seeds import Seed, uniforms
from harness.scenario.lengths import Empirical, Fixed, Lengths, Lognormal, Normal, Recorded, Uniform


def draw_lengths(lengths: Lengths, seed: Seed, count: int) -> NDArray[np.int64]:
    """The first `count` lengths of the seed's stream. Raises UsageError for an empirical file that was not read yet."""
    if isinstance(lengths, Fixed):
        return np.full(count, lengths.tokens, dtype=np.int64)
    return quantiles(lengths, uniforms(seed, count))


def quantiles(lengths: Lengths, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """The length below which each share (0 < share < 1) of the distribution lies, as whole tokens."""
    match lengths:
        case Fixed():
            return np.full(len(shares), lengths.tokens, dtype=np.int64)
        case Uniform():
            span = lengths.max_tokens - lengths.min_tokens + 1
            return lengths.min_tokens + np.minimum(shares * span, span - 1).astype(np.int64)
        case Normal():
            values = normal_quantiles(shares, lengths.mean_tokens, lengths.deviation_tokens)
            return _whole(values, lengths.min_tokens, lengths.max_tokens)
        case Lognormal():
            values = np.exp(normal_quantiles(shares, log(lengths.median_tokens), lengths.sigma))
            return _whole(values, lengths.min_tokens, lengths.max_tokens)
        case Empirical():
            return _empirical(lengths, shares)
        case Recorded():
            raise UsageError("recorded lengths are read from their file, not drawn", hint="give `process: trace`")


def recorded(lengths: Recorded, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Recorded lengths as a scenario wants them: scaled, rounded and clipped."""
    most = lengths.max_tokens or np.iinfo(np.int32).max
    return _whole(tokens.astype(np.float64) * lengths.scale, lengths.min_tokens, most)


def normal_quantiles(shares: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """Normal quantiles. The standard library's inverse is Wichura's AS241, exact to about 1e-16."""
    return np.fromiter(map(NormalDist(mean, deviation).inv_cdf, shares.tolist()), np.float64, len(shares))


def _whole(values: NDArray[np.float64], low: int, high: int) -> NDArray[np.int64]:
    return np.clip(np.rint(values), low, high).astype(np.int64)


def _empirical(lengths: Empirical, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    if lengths.tokens is None:
        raise UsageError(
            f"{lengths.file}: the lengths were not read", hint="read them first: plan.files.with_files_read"
        )
    tokens = np.asarray(lengths.tokens, dtype=np.int64)
    weights = np.ones(len(tokens)) if lengths.weights is None else np.asarray(lengths.weights, dtype=np.float64)
    edges = np.cumsum(weights) / weights.sum()
    return tokens[np.minimum(np.searchsorted(edges, shares, side="right"), len(tokens) - 1)]
