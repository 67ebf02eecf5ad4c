"""What each arrival asks: its part, lengths, beginning and turns. An arrival is a single request or a session.

Every column is a pure function of run seed, workload name, part name (tenant) and the arrival's number. Every part
draws for every arrival, and the arrival takes the values of its part: changing one part leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.blocks import block_prefixes
from harness.plan.body import SLOTS
from harness.plan.lengths import draw_lengths, recorded
from harness.plan.prefix import prefix_id
from harness.plan.seeds import Seed, derive, permutation, uniforms, whole_numbers
from harness.plan.stream import CLOSED, Stream
from harness.records.schemas import PLAN
from harness.scenario.lengths import Lengths, Recorded
from harness.scenario.prompts import FilePrompts, RecordedBlocks, SharedPrefixes
from harness.scenario.workload import Part, Workload

NO_PREFIX = -1
PREFIX_TYPE = PLAN.field("prefix_ids").type


@dataclass(frozen=True)
class Asked:
    """What each arrival asks, one entry per arrival: a single request, or the first turn of a session.

    `turns` is 0 for a single request. `later_input` (new text) and `later_output` have one column per later turn.
    """

    part: NDArray[np.int64]  # ordinal of the part within the workload
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    prompt_seed: NDArray[np.int64]
    prefix_ids: pa.Array  # list<int64>, null where nothing is shared
    turns: NDArray[np.int64]
    later_input: NDArray[np.int64]
    later_output: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.part)


def draw_asked(workload: Workload, run_seed: int, count: int, stream: Stream = CLOSED) -> Asked:
    """What the first `count` arrivals of a stream ask."""
    part = _choose_parts(workload, run_seed, count, stream)
    columns = [_draw_part(workload, ordinal, run_seed, count, stream) for ordinal in range(len(workload.parts))]
    rows = np.arange(count)
    input_tokens, output_tokens, prompt_seed, turns = (
        np.stack([getattr(one, name) for one in columns])[part, rows]
        for name in ("input_tokens", "output_tokens", "prompt_seed", "turns")
    )
    later_input, later_output = (
        _widened([getattr(one, name) for one in columns])[part, rows] for name in ("later_input", "later_output")
    )
    prefixes = pa.concat_arrays([one.prefix_ids for one in columns]).take(pa.array(part * count + rows))
    return Asked(part, input_tokens, output_tokens, prompt_seed, prefixes, turns, later_input, later_output)


def in_order(asked: Items[Asked], order: NDArray[np.int64]) -> Asked:
    """The arrivals of several streams one after the other, then in this order."""
    columns = {
        name: np.concatenate([getattr(one, name) for one in asked])[order]
        for name in ("part", "input_tokens", "output_tokens", "prompt_seed", "turns")
    }
    width = max(one.later_input.shape[1] for one in asked)
    later = {
        name: np.concatenate([_padded(getattr(one, name), width) for one in asked])[order]
        for name in ("later_input", "later_output")
    }
    prefixes = pa.concat_arrays([one.prefix_ids for one in asked]).take(pa.array(order))
    return Asked(prefix_ids=prefixes, **columns, **later)


def _choose_parts(workload: Workload, run_seed: int, count: int, stream: Stream) -> NDArray[np.int64]:
    asked = [stream.parts is None or part.name in stream.parts for part in workload.parts]
    weights = np.asarray([part.weight * is_asked for part, is_asked in zip(workload.parts, asked, strict=True)])
    edges = np.cumsum(weights) / weights.sum()
    shares = uniforms(derive(run_seed, "parts", workload.name, *stream.qualifiers), count)
    last = max(ordinal for ordinal, is_asked in enumerate(asked) if is_asked)
    return np.minimum(np.searchsorted(edges, shares, side="right"), last).astype(np.int64)


def _draw_part(workload: Workload, ordinal: int, run_seed: int, count: int, stream: Stream) -> Asked:
    """What every arrival would ask if it were of this part."""
    part = workload.parts[ordinal]
    seeds = [
        derive(run_seed, "lengths", workload.name, part.name, which, *stream.qualifiers)
        for which in ("input", "output")
    ]
    slots = whole_numbers(derive(run_seed, "prompts", workload.name, "body", *stream.qualifiers), count, SLOTS)
    if isinstance(part.prompts, FilePrompts):
        return _from_file(workload, part, part.prompts, run_seed, count, stream)
    input_tokens = _lengths(part.input_tokens, "input_tokens", seeds[0], count, stream)
    turns, later_input, later_output = _draw_turns(workload, part, run_seed, count, stream)
    return Asked(
        part=np.full(count, ordinal),
        input_tokens=input_tokens,
        output_tokens=_lengths(part.output_tokens, "output_tokens", seeds[1], count, stream),
        prompt_seed=slots,
        prefix_ids=_draw_prefixes(workload, ordinal, run_seed, input_tokens, stream),
        turns=turns,
        later_input=later_input,
        later_output=later_output,
    )


def _lengths(lengths: Lengths, column: str, seed: Seed, count: int, stream: Stream) -> NDArray[np.int64]:
    if not isinstance(lengths, Recorded):
        return draw_lengths(lengths, seed, count)
    tokens = [getattr(row, column) for row in stream.recorded[:count]]
    if len(tokens) < count or None in tokens:
        raise UsageError(f"the trace has no {column} for every request", hint=f"give {column} a distribution")
    return recorded(lengths, np.asarray(tokens, dtype=np.int64))


def _draw_turns(
    workload: Workload, part: Part, run_seed: int, count: int, stream: Stream
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Turns of each session (0: no session), and the lengths of the later ones."""
    if part.sessions is None:
        return np.zeros(count, dtype=np.int64), *(np.zeros((count, 0), dtype=np.int64),) * 2
    turns, names = part.sessions.turns, (workload.name, part.name)
    later = turns.max_turns - 1
    seeds = {
        which: derive(run_seed, "sessions", *names, which, *stream.qualifiers) for which in ("turns", "input", "output")
    }
    drawn = turns.min_turns + whole_numbers(seeds["turns"], count, turns.max_turns - turns.min_turns + 1)
    new = draw_lengths(part.sessions.new_input_tokens, seeds["input"], count * later).reshape(count, later)
    output = draw_lengths(part.output_tokens, seeds["output"], count * later).reshape(count, later)
    return drawn, new, output


def _draw_prefixes(
    workload: Workload, ordinal: int, run_seed: int, input_tokens: NDArray[np.int64], stream: Stream
) -> pa.Array:
    part, count = workload.parts[ordinal], len(input_tokens)
    prompts = part.prompts
    if isinstance(prompts, RecordedBlocks) and isinstance(part.input_tokens, Recorded):
        size = max(1, round(stream.block_tokens * part.input_tokens.scale))
        ids = block_prefixes(stream.recorded[:count], input_tokens.tolist(), size, stream.ordinal)
        return pa.array([each or None for each in ids], PREFIX_TYPE)
    if not isinstance(prompts, SharedPrefixes):
        return pa.nulls(count, PREFIX_TYPE)
    first = sum(_prefixes_of(part) for part in workload.parts[:ordinal])  # parts share no prefix with each other
    names = (workload.name, workload.parts[ordinal].name)
    seed = derive(run_seed, "prompts", *names, "prefix", *stream.qualifiers)
    chosen = prefix_id(first + whole_numbers(seed, count, prompts.prefixes), prompts.prefix_tokens)
    if prompts.hit_ratio < 1:
        hit = uniforms(derive(run_seed, "prompts", *names, "hit", *stream.qualifiers), count) < prompts.hit_ratio
        chosen = np.where(hit, chosen, NO_PREFIX)
    return _one_each(chosen)


def _one_each(prefix: NDArray[np.int64]) -> pa.Array:
    """One-element lists of prefix ids; null where a prompt shares nothing."""
    shares = prefix != NO_PREFIX
    offsets = np.concatenate([[0], np.cumsum(shares)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(prefix[shares]), type=PREFIX_TYPE, mask=pa.array(~shares)
    )


def _prefixes_of(part: Part) -> int:
    return part.prompts.prefixes if isinstance(part.prompts, SharedPrefixes) else 0


def _from_file(
    workload: Workload, part: Part, prompts: FilePrompts, run_seed: int, count: int, stream: Stream
) -> Asked:
    """Texts of a file in random order, all once before any comes again; `prompt_seed` is the row in the file."""
    known = prompts.lengths
    if known is None:
        raise UsageError(f"{prompts.file}: the prompts were not read", hint="plan.files.with_files_read reads them")
    names = (workload.name, part.name)
    order = permutation(derive(run_seed, "prompts", *names, "file", *stream.qualifiers), len(known.rows))
    chosen = order[np.arange(count) % len(order)]
    if isinstance(part.output_tokens, Recorded):
        if known.output_tokens is None:
            raise UsageError(
                f"{prompts.file.name}: not every prompt has an answer, so the lengths of answers are not recorded",
                hint="give output_tokens a number or a distribution",
            )
        output = recorded(part.output_tokens, np.asarray(known.output_tokens, dtype=np.int64)[chosen])
    else:
        output = draw_lengths(
            part.output_tokens, derive(run_seed, "lengths", *names, "output", *stream.qualifiers), count
        )
    none = np.zeros((count, 0), dtype=np.int64)
    return Asked(
        part=np.zeros(count, dtype=np.int64),
        input_tokens=np.asarray(known.input_tokens, dtype=np.int64)[chosen],
        output_tokens=output,
        prompt_seed=np.asarray(known.rows, dtype=np.int64)[chosen],
        prefix_ids=pa.nulls(count, PREFIX_TYPE),
        turns=np.zeros(count, dtype=np.int64),
        later_input=none,
        later_output=none,
    )


def _widened(columns: Items[NDArray[np.int64]]) -> NDArray[np.int64]:
    width = max(column.shape[1] for column in columns)
    return np.stack([_padded(column, width) for column in columns])


def _padded(column: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    return np.pad(column, ((0, 0), (0, width - column.shape[1])))
