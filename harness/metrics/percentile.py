"""Statistics of a sample in which some values were never observed.

A request that failed never reached its event: it ranks behind every observed value (a server that refuses quickly
must not look fast), and all that is known of it is a limit, its elapsed time. A percentile whose rank falls among
such requests is "> x", where x is the largest number that is certainly not too large. For a metric where higher is
better the same holds mirrored ("< x"). Values carry whatever unit the metric has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.metrics.order_statistics import interval_ranks, rank, smallest_n
from harness.metrics.results import Value

PERCENTILES: Mapping[str, int] = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
STATISTICS = ("mean", *PERCENTILES, "max")
ORDER_STATISTIC = "order_statistic_95"

Numbers = npt.NDArray[Any]


def _none() -> Numbers:
    return np.empty(0)


@dataclass(frozen=True)
class Sample:
    """The values of one metric in one repetition. `observed` is sorted in place when its order is first needed."""

    observed: Numbers
    limits: Numbers = field(default_factory=_none)  # one per request that never reached the event
    failures_rank: Literal["highest", "lowest"] = "highest"

    @cached_property
    def ordered(self) -> _Ordered:
        """The sample in rank order; ordering it is what takes time, so it is done once."""
        return _Ordered(self)

    @property
    def n(self) -> int:
        """Observed and unobserved values together."""
        return int(self.observed.size + self.limits.size)


def statistics(sample: Sample, unit: str, noun: str = "requests") -> dict[str, Value]:
    """Mean, percentiles and max of a sample. `noun` says what n counts, for "needs 72 requests"."""
    if sample.n == 0:
        reason = f"no data: no {noun} to count"
        return {name: Value(None, unit, 0, reason=reason) for name in STATISTICS}
    ordered = sample.ordered
    values = {"mean": _mean(sample, unit), "max": ordered.value(sample.n, unit)}
    for name, permille in PERCENTILES.items():
        values[name] = _percentile(ordered, permille, unit, noun)
    return {name: values[name] for name in STATISTICS}


class _Ordered:
    """A sample in rank order. Sorts `observed` in place: 10^8 gaps are not held twice."""

    def __init__(self, sample: Sample) -> None:
        self.n = sample.n
        self._unobserved = int(sample.limits.size)
        self._lowest = sample.failures_rank == "lowest"
        self._observed = sample.observed
        self._limits = np.sort(sample.limits)
        self._observed.sort()

    def is_observed(self, at: int) -> bool:
        """Whether the value of this 1-based rank was observed."""
        return at > self._unobserved if self._lowest else at <= self.n - self._unobserved

    def observed(self, at: int) -> float:
        """The observed value of this rank."""
        return float(self._observed[at - 1 - (self._unobserved if self._lowest else 0)])

    def limit(self, at: int) -> float:
        """What is known about an unobserved rank: it is not below (mirrored: not above) this number.

        Every observed value ranks before it, and so do the limits before its own.
        """
        known = float(self._limits[at - 1 if self._lowest else at - 1 - self._observed.size])
        if self._observed.size == 0:
            return known
        return min(known, float(self._observed[0])) if self._lowest else max(known, float(self._observed[-1]))

    def value(self, at: int, unit: str) -> Value:
        """The value of a rank, without an interval."""
        if self.is_observed(at):
            return Value(self.observed(at), unit, self.n)
        limit = self.limit(at)
        if not math.isfinite(limit):
            return Value(None, unit, self.n, reason=f"{self._unobserved} of {self.n} requests failed before it began")
        return Value(limit, unit, self.n, above=not self._lowest, below=self._lowest)

    def bound(self, at: int) -> float | None:
        """An end of an interval: the observed value of this rank, None where it is open."""
        return self.observed(at) if self.is_observed(at) else None


def _percentile(ordered: _Ordered, permille: int, unit: str, noun: str) -> Value:
    ranks = interval_ranks(permille, ordered.n)
    if ranks is None:
        return Value(None, unit, ordered.n, reason=f"needs {smallest_n(permille)} {noun}")
    value = ordered.value(rank(permille, ordered.n), unit)
    if value.value is None:
        return value
    low, high = (ordered.bound(at) for at in ranks)
    return Value(value.value, unit, ordered.n, low, high, ORDER_STATISTIC, above=value.above, below=value.below)


def _mean(sample: Sample, unit: str) -> Value:
    """The mean. With unobserved values it is only a bound: each of them counts with its limit."""
    total = float(np.sum(sample.observed, dtype=np.float64)) + float(np.sum(sample.limits))
    if not math.isfinite(total):
        return Value(None, unit, sample.n, reason=f"{sample.limits.size} of {sample.n} requests failed: no mean")
    unobserved, lowest = sample.limits.size > 0, sample.failures_rank == "lowest"
    return Value(total / sample.n, unit, sample.n, above=unobserved and not lowest, below=unobserved and lowest)
