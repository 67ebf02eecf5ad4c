"""How much of something that lasts falls into each interval: requests in flight, tokens under way. Pure arithmetic.

Each item lasts from `begun_ns` to `ended_ns` and counts with its rate while it lasts. Nothing is looped over: the
integral up to t is a difference of two sums over sorted instants, so 10^6 requests take about a second.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.columns import Floats, Ints


def mean_between(begun_ns: Ints, ended_ns: Ints, edges_ns: Ints, rate: Floats | None = None) -> Floats:
    """The time-weighted mean, over each interval [edge, next edge), of the summed rates of the items that last then.

    `rate`: one per item, default 1, which makes the result the mean number of items under way.
    """
    weight = np.ones(begun_ns.size) if rate is None else rate
    origin, at = edges_ns[0], (edges_ns - edges_ns[0]).astype(np.float64)
    grown = _elapsed_sum(begun_ns - origin, weight, at) - _elapsed_sum(ended_ns - origin, weight, at)
    return np.asarray(np.diff(grown) / np.diff(edges_ns))


def _elapsed_sum(instants: Ints, weight: Floats, at: Floats) -> Floats:
    """For each `at`, the weighted sum over all instants before it of the time since then."""
    order = np.argsort(instants, kind="stable")
    ordered, weights = instants[order].astype(np.float64), weight[order]
    before = np.searchsorted(ordered, at, side="left")
    weighted = np.concatenate(([0.0], np.cumsum(weights)))[before]
    moments = np.concatenate(([0.0], np.cumsum(weights * ordered)))[before]
    return np.asarray(weighted * at - moments)
