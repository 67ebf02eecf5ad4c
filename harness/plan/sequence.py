"""The numbered sequence of a workload: what request number i asks, whoever takes it, whenever it is sent.

    arrivals (a single request or a session each)  ──sessions become one row per turn──►  requests 0, 1, 2, …

It does not depend on concurrency, rate, repetition, arm or deployment: points that share a workload ask the same
lengths in the same order (common random numbers), so that their difference is the server's. Prompt *tokens* still
never repeat: see `harness.plan.nonce`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.plan.asked import Asked, draw_asked
from harness.scenario.workload import Workload


@dataclass(frozen=True)
class Sequence:
    """Requests 0 to n - 1, one entry per request; the turns of a session follow one another.

    `input_tokens` is the whole prompt, `new_input_tokens` what it adds to the turn before. `turn` counts from 0 and is
    -1 for a single request. `arrival` is the number of the arrival that the request belongs to.
    """

    part: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    prompt_seed: NDArray[np.int64]
    prefix_ids: pa.Array
    arrival: NDArray[np.int64]
    turn: NDArray[np.int64]
    new_input_tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.part)


def draw_sequence(workload: Workload, run_seed: int, count: int) -> Sequence:
    """The first `count` requests of a closed loop; a session at the end may be cut short."""
    return _head(as_rows(draw_asked(workload, run_seed, count)), count)


def as_rows(asked: Asked) -> Sequence:
    """One row per request: sessions spread out into their turns, each with the whole history in its prompt."""
    rows_each = np.maximum(asked.turns, 1)
    arrival = np.repeat(np.arange(len(asked)), rows_each)
    first = np.repeat(np.cumsum(rows_each) - rows_each, rows_each)
    turn = np.arange(len(arrival)) - first
    later = np.maximum(turn - 1, 0)
    is_first = turn == 0
    new, output = asked.input_tokens[arrival], asked.output_tokens[arrival]
    if asked.later_input.shape[1]:
        new = np.where(is_first, new, asked.later_input[arrival, later])
        output = np.where(is_first, output, asked.later_output[arrival, later])
    said_before = np.cumsum(new + output) - (new + output)
    return Sequence(
        part=asked.part[arrival],
        input_tokens=said_before - said_before[first] + new if len(new) else new,
        output_tokens=output,
        prompt_seed=asked.prompt_seed[arrival],
        prefix_ids=asked.prefix_ids.take(pa.array(arrival)),
        arrival=arrival,
        turn=np.where(asked.turns[arrival] > 0, turn, -1),
        new_input_tokens=new,
    )


def _head(rows: Sequence, count: int) -> Sequence:
    if len(rows) == count:
        return rows
    cut = {name: getattr(rows, name)[:count] for name in Sequence.__dataclass_fields__}
    return Sequence(**cut)
