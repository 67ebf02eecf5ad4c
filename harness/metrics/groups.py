"""The cohort of a repetition split into groups: by tenant, or by turn of a conversation. Pure.

The formulas are the catalog's; only the rows they are taken over differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from harness.metrics.availability import unavailable
from harness.metrics.bounds import Bound
from harness.metrics.catalog import METRICS
from harness.metrics.columns import Flags
from harness.metrics.combine import combine
from harness.metrics.percentile import statistics
from harness.metrics.point import meets
from harness.metrics.repetition import Repetition
from harness.metrics.request import time_to_first_token
from harness.metrics.results import Statistics, Value

NO_DATA = "no data: no requests to count"


@dataclass(frozen=True)
class Group:
    """Some requests of a cohort: one tenant's, or one turn's. Over several repetitions: the median, with the range."""

    name: str
    requests: int
    time_to_first_token: Statistics  # ns
    error_ratio: Value
    goodput: Value  # requests per second within every bound of the group
    attainment: Value


def tenants(r: Repetition, bounds: Mapping[str, Sequence[Bound]]) -> list[Group]:
    """The tenants of a repetition, by name. `bounds`: a tenant's own per-request bounds, besides those of everyone."""
    return [_group(r, name, rows, (*r.bounds, *bounds.get(name, ()))) for name, rows in _split(r, "tenant")]


def turns(r: Repetition) -> list[Group]:
    """The turns of a repetition's conversations, first to last; none where no request belongs to a session."""
    found = _split(r, "turn")
    return [_group(r, name, rows, r.bounds) for name, rows in found]


def over_repetitions(repetitions: Sequence[Sequence[Group]]) -> list[Group]:
    """The groups of a point from those of its repetitions, in the order in which they first occur."""
    by_name: dict[str, list[Group]] = {}
    for groups in repetitions:
        for group in groups:
            by_name.setdefault(group.name, []).append(group)
    return [_combined(groups) for groups in by_name.values()]


def _split(r: Repetition, column: str) -> list[tuple[str, Flags]]:
    """(value, its rows) for each value of a column that occurs in the cohort, ascending."""
    values = r.rows.table[column]
    names: list[Any] = sorted(value for value in pc.unique(values.filter(r.cohort)).to_pylist() if value is not None)
    return [(str(name), np.asarray(pc.fill_null(pc.equal(values, name), False))) for name in names]


def _group(r: Repetition, name: str, rows: Flags, bounds: Sequence[Bound]) -> Group:
    chosen = r.cohort & rows
    counted, failed = int(chosen.sum()), int((chosen & r.rows.failed).sum())
    absent = unavailable(METRICS["time_to_first_token"], r)
    first = statistics(time_to_first_token(r).sample(chosen), "ns")
    if absent is not None:
        first = {key: replace(value, value=None, reason=absent) for key, value in first.items()}
    goodput, attainment = _within_bounds(r, chosen, bounds)
    return Group(name, counted, first, _ratio(failed, counted), goodput, attainment)


def _within_bounds(r: Repetition, chosen: Flags, bounds: Sequence[Bound]) -> tuple[Value, Value]:
    reason = None if bounds else "not available: no per-request bound"
    reason = reason or next((why for b in bounds if (why := unavailable(METRICS[b.metric], r))), None)
    if reason is not None:
        return Value(None, "per_s", 0, reason=reason), Value(None, "ratio", 0, reason=reason)
    good, judged = meets(r, bounds) & chosen, chosen & ~r.rows.cancelled
    rate = Value(int(good.sum()) / r.window.length_s, "per_s", int(chosen.sum()))
    return rate, _ratio(int((good & judged).sum()), int(judged.sum()))


def _ratio(count: int, total: int) -> Value:
    return Value(count / total, "ratio", total) if total else Value(None, "ratio", 0, reason=NO_DATA)


def _combined(groups: Sequence[Group]) -> Group:
    first = groups[0]
    return Group(
        first.name,
        sum(group.requests for group in groups),
        {key: combine([group.time_to_first_token[key] for group in groups]) for key in first.time_to_first_token},
        combine([group.error_ratio for group in groups]),
        combine([group.goodput for group in groups]),
        combine([group.attainment for group in groups]),
    )
