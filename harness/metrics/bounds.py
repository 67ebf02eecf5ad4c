"""Bounds on single requests: what goodput and attainment count by. Limits are in the metric's base unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.units import NS_PER_MS

Comparison = Callable[[Any, Any], Any]

# name of a bound in a scenario → (factor from its unit to the base unit, whether a value fits)
BOUNDS: Mapping[str, tuple[int, Comparison]] = {
    "at_most_ms": (NS_PER_MS, np.less_equal),
    "at_least_per_s": (1, np.greater_equal),
    "at_most_ratio": (1, np.less_equal),
    "at_least_ratio": (1, np.greater_equal),
}


@dataclass(frozen=True)
class Bound:
    """One bound on one request-level metric."""

    metric: str
    bound: str  # key of BOUNDS
    limit: float  # base unit: ns or per_s

    @property
    def fits(self) -> Comparison:
        """`fits(values, limit)`: whether values keep the bound; works on arrays and single numbers."""
        return BOUNDS[self.bound][1]


def bound_from(metric: str, bound: str, limit: float) -> Bound:
    """A bound as a scenario states it (`at_most_ms`, 500), in base units."""
    return Bound(metric, bound, limit * BOUNDS[bound][0])
