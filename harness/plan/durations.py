"""Durations in nanoseconds, drawn from the distributions of `harness.scenario.durations` by their inverse functions."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

from harness.plan.lengths import normal_quantiles
from harness.plan.seeds import Seed, uniforms
from harness.scenario.durations import (
    AnyDuration,
    ExponentialDuration,
    FixedDuration,
    LognormalDuration,
    UniformDuration,
)
from harness.units import NS_PER_S, from_seconds


def draw_durations(durations: AnyDuration, seed: Seed, count: int) -> NDArray[np.int64]:
    """The first `count` durations of the seed's stream, in nanoseconds."""
    if isinstance(durations, FixedDuration):
        return np.full(count, from_seconds(durations.duration_s), dtype=np.int64)
    return np.rint(_seconds(durations, uniforms(seed, count)) * NS_PER_S).astype(np.int64)


def _seconds(
    durations: UniformDuration | ExponentialDuration | LognormalDuration, shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    match durations:
        case UniformDuration():
            return durations.min_s + shares * (durations.max_s - durations.min_s)
        case ExponentialDuration():
            return np.minimum(-durations.mean_s * np.log(shares), durations.max_s)
        case LognormalDuration():
            drawn = np.exp(normal_quantiles(shares, log(durations.median_s), durations.sigma))
            return np.minimum(drawn, durations.max_s)
