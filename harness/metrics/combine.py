"""A point's value from its repetitions: the median, with their range. Repetitions are never pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.metrics.results import Value

RANGE = "range"


def combine(values: Sequence[Value]) -> Value:
    """The median of the repetitions' values and their range; one repetition stands for itself.

    Where a repetition has no value there is none for the point. A "> x" ranks above every number, a "< x" below;
    where the median falls on one, it is "> x" ("< x") too.
    """
    if len(values) == 1:
        return values[0]
    n, unit = sum(value.n for value in values), values[0].unit
    lacking = [number for number, value in enumerate(values, start=1) if value.value is None]
    if lacking:
        reason = values[lacking[0] - 1].reason or "no data"
        everywhere = len(lacking) == len(values) and len({value.reason for value in values}) == 1
        where = "" if everywhere else f" (in {len(lacking)} of {len(values)} repetitions)"
        return Value(None, unit, n, reason=reason + where)
    ranked = sorted(values, key=_rank)
    middle = [ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]]
    low = None if ranked[0].below else ranked[0].value
    high = None if ranked[-1].above else ranked[-1].value
    return replace(_between(middle), n=n, low=low, high=high, interval=RANGE)


def _rank(value: Value) -> tuple[int, float]:
    return (value.above - value.below, math.nan if value.value is None else value.value)


def _between(middle: Sequence[Value]) -> Value:
    """The mean of the two middle values, with the doubt of either."""
    mean = sum(value.value or 0.0 for value in middle) / len(middle)
    above, below = any(value.above for value in middle), any(value.below for value in middle)
    if above and below:
        return Value(mean, middle[0].unit, 0, above=True)
    return Value(mean, middle[0].unit, 0, above=above, below=below)
