"""An arrival rate that changes with time, and Poisson arrivals that follow it.

Times are seconds from the start of a repetition. With L(t) the integral of the rate, unit-rate arrivals S turn into
arrivals at L^-1(S) (time change of a Poisson process; Cinlar 1975, section 4.7): nothing is thinned or rescaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stretch:
    """A stretch of time over which the rate changes linearly. A rate of 0 from end to end is a silence."""

    start_s: float
    end_s: float
    start_rate: float
    end_rate: float

    @property
    def arrivals(self) -> float:
        """Arrivals expected in it."""
        return (self.end_s - self.start_s) * (self.start_rate + self.end_rate) / 2


@dataclass(frozen=True)
class RateCurve:
    """Stretches one after the other, without gaps, from 0 to the end of the repetition."""

    stretches: tuple[Stretch, ...]

    @property
    def arrivals(self) -> float:
        """Arrivals expected in all."""
        return sum(stretch.arrivals for stretch in self.stretches)

    def expected_until(self, time_s: float) -> float:
        """L(t): arrivals expected before an instant."""
        total = 0.0
        for each in self.stretches:
            length, lasted = each.end_s - each.start_s, min(max(time_s - each.start_s, 0.0), each.end_s - each.start_s)
            if length > 0:
                total += each.start_rate * lasted + (each.end_rate - each.start_rate) * lasted**2 / (2 * length)
        return total

    def instants(self, unit_arrivals: NDArray[np.float64]) -> NDArray[np.float64]:
        """L^-1 of rising numbers below `arrivals`; shape as given, seconds."""
        loud = [stretch for stretch in self.stretches if stretch.arrivals > 0]
        edges = np.asarray([0.0, *accumulate(stretch.arrivals for stretch in loud)])
        at = np.clip(np.searchsorted(edges, unit_arrivals, side="right") - 1, 0, len(loud) - 1)
        start, end, low, high = (
            np.asarray([getattr(stretch, name) for stretch in loud])[at]
            for name in ("start_s", "end_s", "start_rate", "end_rate")
        )
        rest = unit_arrivals - edges[at]
        slope = (high - low) / (end - start)
        # The root of low x + slope x²/2 = rest that is stable for a slope of 0.
        root = np.sqrt(np.maximum(low**2 + 2 * slope * rest, 0.0))
        instants: NDArray[np.float64] = np.minimum(start + 2 * rest / (low + root), end)
        return instants
