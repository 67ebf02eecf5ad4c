"""The numbered sequence of a closed-loop workload: what request number i asks, whoever takes it.

Every column is a pure function of run seed, workload name, part name and i. It does not depend on concurrency,
repetition, arm or deployment: points that share a workload ask the same lengths in the same order (common random
numbers), so that their difference is the server's. Prompt *tokens* still never repeat: see `harness.plan.nonce`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.plan.body import SLOTS
from harness.plan.lengths import draw_lengths
from harness.plan.prefix import prefix_id
from harness.plan.seeds import derive, uniforms, whole_numbers
from harness.scenario.workload import Part, SharedPrefixes, Workload

NO_PREFIX = -1


@dataclass(frozen=True)
class Sequence:
    """Requests 0 to n - 1 of a workload, one entry per request. `prefix` is NO_PREFIX where nothing is shared."""

    part: NDArray[np.int64]  # ordinal of the part within the workload
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    prompt_seed: NDArray[np.int64]
    prefix: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.part)


def draw_sequence(workload: Workload, run_seed: int, count: int) -> Sequence:
    """The first `count` requests of a workload."""
    part = _choose_parts(workload, run_seed, count)
    columns = [_draw_part(workload, ordinal, run_seed, count) for ordinal in range(len(workload.parts))]
    rows = np.arange(count)
    input_tokens, output_tokens, prefix = (np.stack(column)[part, rows] for column in zip(*columns, strict=True))
    prompt_seed = whole_numbers(derive(run_seed, "prompts", workload.name, "body"), count, SLOTS)
    return Sequence(part, input_tokens, output_tokens, prompt_seed, prefix)


def _choose_parts(workload: Workload, run_seed: int, count: int) -> NDArray[np.int64]:
    weights = np.asarray([part.weight for part in workload.parts])
    edges = np.cumsum(weights) / weights.sum()
    shares = uniforms(derive(run_seed, "parts", workload.name), count)
    return np.minimum(np.searchsorted(edges, shares, side="right"), len(weights) - 1).astype(np.int64)


def _draw_part(workload: Workload, ordinal: int, run_seed: int, count: int) -> tuple[NDArray[np.int64], ...]:
    """Input lengths, output lengths and prefixes as if every request were of this part."""
    part = workload.parts[ordinal]
    seeds = [derive(run_seed, "lengths", workload.name, part.name, which) for which in ("input", "output")]
    return (
        draw_lengths(part.input_tokens, seeds[0], count),
        draw_lengths(part.output_tokens, seeds[1], count),
        _draw_prefixes(workload, ordinal, run_seed, count),
    )


def _draw_prefixes(workload: Workload, ordinal: int, run_seed: int, count: int) -> NDArray[np.int64]:
    prompts = workload.parts[ordinal].prompts
    if not isinstance(prompts, SharedPrefixes):
        return np.full(count, NO_PREFIX, dtype=np.int64)
    first = sum(_prefixes_of(part) for part in workload.parts[:ordinal])  # parts share no prefix with each other
    seed = derive(run_seed, "prompts", workload.name, workload.parts[ordinal].name, "prefix")
    return prefix_id(first + whole_numbers(seed, count, prompts.prefixes), prompts.prefix_tokens)


def _prefixes_of(part: Part) -> int:
    return part.prompts.prefixes if isinstance(part.prompts, SharedPrefixes) else 0
