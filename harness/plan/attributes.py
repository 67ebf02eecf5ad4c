"""Columns that belong to single requests: timeouts, cancellations, think times, which are traced. Durations in ns.

Each is drawn for every request as if it were of the part, from a seed of its own: switching one on changes no other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.plan.durations import draw_durations
from harness.plan.lengths import draw_lengths
from harness.plan.seeds import derive, uniforms
from harness.plan.sequence import Sequence
from harness.scenario.schema import Scenario
from harness.scenario.workload import Part, Workload
from harness.units import from_seconds

NONE = -1
Draw = Callable[[Part, int], NDArray[np.int64]]


def attributes(workload: Workload, rows: Sequence, scenario: Scenario) -> dict[str, pa.Array]:
    """The plan's columns `timeout_ns`, `cancel_after_tokens`, `cancel_after_ns`, `think_time_ns`, `traced`."""
    seed = scenario.seed

    def timeouts(part: Part, count: int) -> NDArray[np.int64]:
        if part.timeout_s is None:
            return np.full(count, from_seconds(scenario.request.timeout_s))
        return np.maximum(draw_durations(part.timeout_s, derive(seed, "timeouts", workload.name, part.name), count), 1)

    def patience_tokens(part: Part, count: int) -> NDArray[np.int64]:
        if part.cancel is None or part.cancel.after_tokens is None:
            return np.full(count, NONE)
        drawn = draw_lengths(
            part.cancel.after_tokens, derive(seed, "cancels", workload.name, part.name, "tokens"), count
        )
        return np.where(_cancelled(part, count), drawn, NONE)

    def patience(part: Part, count: int) -> NDArray[np.int64]:
        if part.cancel is None or part.cancel.after_s is None:
            return np.full(count, NONE)
        drawn = draw_durations(part.cancel.after_s, derive(seed, "cancels", workload.name, part.name, "time"), count)
        return np.where(_cancelled(part, count), drawn, NONE)

    def _cancelled(part: Part, count: int) -> NDArray[np.bool_]:
        share = part.cancel.share if part.cancel is not None else 0.0
        return uniforms(derive(seed, "cancels", workload.name, part.name, "share"), count) < share

    def thinking(part: Part, count: int) -> NDArray[np.int64]:
        if part.sessions is None:
            return np.full(count, NONE)
        return draw_durations(
            part.sessions.think_time_s, derive(seed, "sessions", workload.name, part.name, "think"), count
        )

    tokens = _by_part(workload, rows, patience_tokens)
    return {
        "timeout_ns": pa.array(_by_part(workload, rows, timeouts)),
        "cancel_after_tokens": _nullable(np.where(tokens < rows.output_tokens, tokens, NONE), pa.int32()),
        "cancel_after_ns": _nullable(_by_part(workload, rows, patience), pa.int64()),
        "think_time_ns": _nullable(np.where(rows.turn > 0, _by_part(workload, rows, thinking), NONE), pa.int64()),
        "traced": _traced(workload, len(rows), scenario),
    }


def _by_part(workload: Workload, rows: Sequence, draw: Draw) -> NDArray[np.int64]:
    """Each row's value out of what its part draws."""
    values = np.empty(len(rows), dtype=np.int64)
    for ordinal, part in enumerate(workload.parts):
        mine = rows.part == ordinal
        values[mine] = draw(part, len(rows))[mine]
    return values


def _nullable(values: NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    return pa.array(values, mask=values == NONE).cast(kind)


def _traced(workload: Workload, count: int, scenario: Scenario) -> pa.Array:
    share = scenario.request.trace_share
    if share == 0:
        return pa.repeat(False, count)
    return pa.array(uniforms(derive(scenario.seed, "traced", workload.name), count) < share)
