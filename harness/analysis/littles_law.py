"""Little's law as a check of a window: mean in flight = arrival rate × mean residence. Pure arithmetic.

On records the law fails in two ways: the window was not stationary (a queue grows), or records are missing or wrong.
A short window fails it by its edges alone: requests that began before it or end behind it. That share is about the
residence over the window's length, and more where few are in flight, because then one request more or fewer at an edge
is a large share of them. Both are allowed for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.metrics.columns import Floats, Ints
from harness.metrics.flow import mean_between

EDGE_SIGMAS = 3.0


@dataclass(frozen=True)
class LittlesLaw:
    """Both sides of the law over one window."""

    in_flight: float  # time-weighted mean
    arrivals_per_s: float
    residence_s: float  # mean over the requests that arrived in the window
    window_s: float

    @property
    def predicted(self) -> float:
        """Rate × residence."""
        return self.arrivals_per_s * self.residence_s

    @property
    def deviation(self) -> float:
        """|in flight - predicted| / in flight; 0 when nothing was in flight."""
        return abs(self.in_flight - self.predicted) / self.in_flight if self.in_flight else 0.0

    @property
    def edge_share(self) -> float:
        """What the edges of the window alone can make: the number in flight at each is drawn, as if from a Poisson
        distribution, and the difference of two such numbers has the variance 2 x mean."""
        noise = EDGE_SIGMAS * math.sqrt(2 / self.in_flight) if self.in_flight else 0.0
        return self.residence_s / self.window_s * max(1.0, noise)


def littles_law(begun_ns: Ints, ended_ns: Ints, start_ns: int, end_ns: int) -> LittlesLaw | None:
    """Both sides over the window [start, end), from when each request began and ended. None when none began in it."""
    arrived = (begun_ns >= start_ns) & (begun_ns < end_ns)
    if not arrived.any():
        return None
    window_s = (end_ns - start_ns) / 1e9
    in_flight = mean_between(begun_ns, ended_ns, np.asarray([start_ns, end_ns]))
    residence: Floats = (ended_ns[arrived] - begun_ns[arrived]) / 1e9
    return LittlesLaw(float(in_flight[0]), float(arrived.sum()) / window_s, float(residence.mean()), window_s)
