"""The plan: every request of a run as a row of the schema PLAN, drawn before anything runs.

A closed loop plans a numbered sequence per (point, repetition); instants and phases are null because they follow from
the answers. The run salt is not part of it: the same scenario and seed give the same plan, byte for byte.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from harness.errors import UsageError
from harness.plan.sequence import NO_PREFIX, Sequence, draw_sequence
from harness.records.manifest import Point
from harness.records.schemas import PLAN
from harness.scenario.schema import Scenario
from harness.scenario.workload import SharedPrefixes, Workload
from harness.units import from_seconds

ONE_TENANT = "default"


def draw(scenario: Scenario, points: list[Point], special_tokens: int = 0) -> pa.Table:
    """The plan of these points (schema PLAN), sorted as `points`, then repetition, then index.

    `special_tokens` is what the target's tokenizer adds to every prompt (`PromptSource.special_tokens`; 0 for token
    ids). It does not change the plan. Raises UsageError when a drawn prompt is too short to be written.
    """
    shared = {
        workload.name: _columns(workload, _requests_needed(points, workload.name), scenario, special_tokens)
        for workload in scenario.workload
    }
    rows = [
        _of_repetition(shared[point.workload], point, repetition)
        for point in points
        for repetition in range(point.repetitions)
    ]
    return pa.concat_tables([PLAN.empty_table(), *rows])


def _requests_needed(points: list[Point], workload: str) -> int:
    return max((point.max_requests or 0 for point in points if point.workload == workload), default=0)


def _columns(workload: Workload, count: int, scenario: Scenario, special_tokens: int) -> dict[str, pa.Array]:
    """The columns that all points of a workload have in common, `count` long."""
    sequence = draw_sequence(workload, scenario.seed, count)
    _refuse_short(workload, sequence, special_tokens)
    names = pa.array([part.name for part in workload.parts], pa.string())
    filled = {
        "index": pa.array(np.arange(count)),
        "workload_part": names.take(pa.array(sequence.part)),
        "input_tokens": pa.array(sequence.input_tokens.astype(np.int32)),
        "output_tokens": pa.array(sequence.output_tokens.astype(np.int32)),
        "prompt_seed": pa.array(sequence.prompt_seed),
        "prefix_ids": _prefix_lists(sequence),
        "timeout_ns": pa.repeat(pa.scalar(from_seconds(scenario.request.timeout_s), pa.int64()), count),
        "tenant": pa.repeat(ONE_TENANT, count),
        "traced": pa.repeat(False, count),
    }
    return {field.name: filled.get(field.name, pa.nulls(count, field.type)) for field in PLAN}


def _of_repetition(columns: dict[str, pa.Array], point: Point, repetition: int) -> pa.Table:
    """The rows of one repetition; columns are shared with the other repetitions, not copied."""
    count = point.max_requests or 0
    own = {
        "point_id": pa.repeat(point.point_id, count),
        "repetition": pa.repeat(pa.scalar(repetition, pa.int32()), count),
        "arm": pa.repeat(pa.scalar(point.arm, pa.string()), count),
    }
    return pa.table([own.get(name, columns[name].slice(0, count)) for name in PLAN.names], schema=PLAN)


def _prefix_lists(sequence: Sequence) -> pa.Array:
    """One-element lists of prefix ids; null where a prompt shares nothing."""
    shares = sequence.prefix != NO_PREFIX
    offsets = np.concatenate([[0], np.cumsum(shares)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(sequence.prefix[shares]), type=PLAN.field("prefix_ids").type, mask=pa.array(~shares)
    )


def _refuse_short(workload: Workload, sequence: Sequence, special_tokens: int) -> None:
    for ordinal, part in enumerate(workload.parts):
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
