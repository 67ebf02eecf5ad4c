"""The plan: every request of a run as a row of the schema PLAN, drawn before anything runs.

- Closed loop: a numbered sequence per (point, repetition); instants and phases are null because they follow from the
  answers.
- Open loop: `intended_offset_ns` counts from the start of the repetition, warm-up included, and reaches to the drain
  limit; `phase` is the one that it falls into.
- Sessions: the turns of one follow one another, `turn` counts from 0, `session_id` is the index of turn 0 as text.
  Later turns have neither instant nor phase: they are intended `think_time_ns` after the turn before is done.

The run salt is not part of it: the same scenario and seed give the same plan, byte for byte.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.attributes import attributes
from harness.plan.open_loop import open_rows
from harness.plan.sequence import Sequence, draw_sequence
from harness.plan.stream import ONE_TENANT
from harness.records.manifest import Point
from harness.records.schemas import PLAN
from harness.scenario.arrivals import rate_levels
from harness.scenario.load import ClosedLoop, OpenLoop
from harness.scenario.prompts import FilePrompts, SharedPrefixes
from harness.scenario.schema import Scenario
from harness.scenario.workload import Workload

Columns = dict[str, pa.Array]


def draw(scenario: Scenario, points: list[Point], special_tokens: int = 0) -> pa.Table:
    """The plan of these points (schema PLAN), sorted as `points`, then repetition, then index.

    `special_tokens` is what the target's tokenizer adds to every prompt (`PromptSource.special_tokens`; 0 for token
    ids). It does not change the plan. Raises UsageError when a drawn prompt is too short to be written.
    """
    workloads = {workload.name: workload for workload in scenario.workload}
    drawn: dict[tuple[str, float | None], Columns] = {}
    tables = [PLAN.empty_table()]
    for point in points:
        key = (point.workload, point.request_rate_per_s)
        if key not in drawn:
            drawn[key] = _columns(scenario, workloads[point.workload], points, point, special_tokens)
        tables += [_of_repetition(drawn[key], point, repetition) for repetition in range(point.repetitions)]
    return pa.concat_tables(tables)


def rate_level(scenario: Scenario, point: Point) -> float | None:
    """The request rate that makes the point one of several; None where the load has no levels."""
    has_levels = isinstance(scenario.load, OpenLoop) and rate_levels(scenario.load.arrivals) is not None
    return point.request_rate_per_s if has_levels else None


def _columns(scenario: Scenario, workload: Workload, points: list[Point], point: Point, special_tokens: int) -> Columns:
    """The columns that all repetitions (closed loop: and all points of the workload) have in common."""
    if isinstance(scenario.load, ClosedLoop):
        most = max((each.max_requests or 0 for each in points if each.workload == workload.name), default=0)
        sequence = draw_sequence(workload, scenario.seed, most)
        own: Columns = {"tenant": pa.repeat(ONE_TENANT, most)}
    else:
        planned = open_rows(scenario, workload, rate_level(scenario, point))
        sequence = planned.sequence
        own = {
            "tenant": planned.tenant,
            "intended_offset_ns": planned.intended_offset_ns,
            "phase": planned.phase,
        }
    _refuse_short(workload, sequence, special_tokens)
    filled = own | _asked(workload, sequence) | attributes(workload, sequence, scenario)
    return {field.name: filled.get(field.name, pa.nulls(len(sequence), field.type)) for field in PLAN}


def _asked(workload: Workload, sequence: Sequence) -> Columns:
    names = pa.array([part.name for part in workload.parts], pa.string())
    return {
        "index": pa.array(np.arange(len(sequence))),
        "workload_part": names.take(pa.array(sequence.part)),
        "input_tokens": pa.array(sequence.input_tokens.astype(np.int32)),
        "output_tokens": pa.array(sequence.output_tokens.astype(np.int32)),
        "prompt_seed": pa.array(sequence.prompt_seed),
        "prefix_ids": sequence.prefix_ids,
    } | _sessions(workload, sequence)


def _sessions(workload: Workload, sequence: Sequence) -> Columns:
    """Null for single requests; `new_input_tokens` only where the history is the real reply."""
    alone = sequence.turn < 0
    first = np.arange(len(sequence)) - np.maximum(sequence.turn, 0)
    replies = [part.sessions is not None and part.sessions.history == "reply" for part in workload.parts]
    real = np.asarray(replies)[sequence.part] & (sequence.turn > 0)
    return {
        "session_id": _where(~alone, pa.array(first).cast(pa.string())),
        "turn": pa.array(sequence.turn.astype(np.int32), mask=alone),
        "new_input_tokens": pa.array(sequence.new_input_tokens.astype(np.int32), mask=~real),
    }


def _where(shown: NDArray[np.bool_], values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(shown), values, pa.scalar(None, values.type))


def _of_repetition(columns: Columns, point: Point, repetition: int) -> pa.Table:
    """The rows of one repetition; columns are shared with the other repetitions, not copied."""
    count = point.max_requests or 0
    own = {
        "point_id": pa.repeat(point.point_id, count),
        "repetition": pa.repeat(pa.scalar(repetition, pa.int32()), count),
        "arm": pa.repeat(pa.scalar(point.arm, pa.string()), count),
    }
    return pa.table([own.get(name, columns[name].slice(0, count)) for name in PLAN.names], schema=PLAN)


def _refuse_short(workload: Workload, sequence: Sequence, special_tokens: int) -> None:
    for ordinal, part in enumerate(workload.parts):
        if isinstance(part.prompts, FilePrompts):
            continue
        prefix = part.prompts.prefix_tokens if isinstance(part.prompts, SharedPrefixes) else 0
        lengths = sequence.input_tokens[sequence.part == ordinal]
        least = special_tokens + prefix + 1
        short = int((lengths < least).sum())
        if short:
            raise UsageError(
                f"workload {workload.name}, part {part.name}: {short:,} of {len(lengths):,} planned prompts are shorter"
                f" than {least} tokens (special {special_tokens}, shared prefix {prefix}, own 1)",
                hint=f"let its input_tokens begin at {least}, e.g. `min_tokens: {least}`",
            )
