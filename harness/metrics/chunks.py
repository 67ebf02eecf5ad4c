"""The chunks of many requests at once, on Arrow's flat list arrays: no Python loop over requests, no copy of the whole.

A chunk here is one that carries at least one output token, by the same rule as `first_token_ns`: an empty first chunk
is no token, and the wait behind it belongs to TTFT. Work goes block by block, so that temporary arrays stay small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.metrics.columns import MISSING, Flags, Floats, Ints

BLOCK_ROWS = 16_384

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Block:
    """Some successive rows with their chunks laid end to end."""

    rows: slice  # of the repetition
    counts: Ints  # chunks per row
    starts: Ints  # index of each row's first chunk in the flat arrays
    offsets_ns: Ints  # flat: arrival of each chunk, from `sent_ns`
    tokens: Ints  # flat: output tokens of each chunk

    def spread(self, per_row: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """A value per row, repeated for each of its chunks."""
        return np.repeat(per_row, self.counts)

    def sums(self, flat: Ints | Flags) -> Ints:
        """The sum per row of a value per chunk."""
        total = np.concatenate(([0], np.cumsum(flat, dtype=np.int64)))
        return np.asarray(total[self.starts + self.counts] - total[self.starts])


@dataclass(frozen=True)
class ChunkColumns:
    """What the chunks of each request add up to; one entry per row."""

    chunks: Ints
    tokens: Ints
    single: Ints  # chunks that carry exactly one token
    first_tokens: Ints  # tokens in the first chunk, 0 without one
    first_gap_ns: Ints  # second minus first chunk, MISSING below two chunks
    last_offset_ns: Ints  # last chunk, from `sent_ns`; MISSING without one


def blocks(table: pa.Table) -> Iterator[Block]:
    """The chunks of a repetition's rows, block by block."""
    done = 0
    for batch in table.select(["chunk_offsets_ns", "chunk_tokens"]).to_batches(max_chunksize=BLOCK_ROWS):
        rows = slice(done, done + batch.num_rows)
        done = rows.stop
        counts, offsets_ns = _flat(batch.column(0))
        _, tokens = _flat(batch.column(1))
        yield _without_empty(rows, counts, offsets_ns, tokens)


def _flat(lists: pa.ListArray) -> tuple[Ints, Ints]:
    ends = lists.offsets.to_numpy()
    values = lists.values.slice(int(ends[0]), int(ends[-1] - ends[0]))
    return np.diff(ends).astype(np.int64), values.to_numpy(zero_copy_only=False)


def _without_empty(rows: slice, counts: Ints, offsets_ns: Ints, tokens: Ints) -> Block:
    if tokens.size and tokens.min() <= 0:
        kept = tokens > 0
        owner = np.repeat(np.arange(counts.size), counts)
        counts = np.bincount(owner[kept], minlength=counts.size).astype(np.int64)
        offsets_ns, tokens = offsets_ns[kept], tokens[kept]
    return Block(rows, counts, np.cumsum(counts) - counts, offsets_ns, tokens)


def chunk_columns(table: pa.Table) -> ChunkColumns:
    """The per-request sums of a repetition's chunks."""
    n = table.num_rows
    columns = ChunkColumns(
        chunks=np.zeros(n, np.int64),
        tokens=np.zeros(n, np.int64),
        single=np.zeros(n, np.int64),
        first_tokens=np.zeros(n, np.int64),
        first_gap_ns=np.full(n, MISSING),
        last_offset_ns=np.full(n, MISSING),
    )
    for block in blocks(table):
        some, two = np.flatnonzero(block.counts > 0), np.flatnonzero(block.counts > 1)
        first = block.starts[some]
        columns.chunks[block.rows] = block.counts
        columns.tokens[block.rows] = block.sums(block.tokens)
        columns.single[block.rows] = block.sums(block.tokens == 1)
        columns.first_tokens[block.rows][some] = block.tokens[first]
        columns.last_offset_ns[block.rows][some] = block.offsets_ns[first + block.counts[some] - 1]
        second = block.starts[two] + 1
        columns.first_gap_ns[block.rows][two] = block.offsets_ns[second] - block.offsets_ns[second - 1]
    return columns


def gaps(table: pa.Table, chosen: Flags, chunks: Ints) -> Ints:
    """The gaps between successive chunks of the chosen requests, pooled, in ns. `chunks`: how many each request has."""
    pooled = np.empty(int(np.maximum(chunks[chosen] - 1, 0).sum()), np.int64)
    filled = 0
    for block in blocks(table):
        if block.offsets_ns.size < 2:
            continue
        kept = block.spread(chosen[block.rows])[:-1]
        last = (block.starts + block.counts - 1)[block.counts > 0]
        kept[last[:-1]] = False  # from one request's last chunk to the next one's first
        new = np.diff(block.offsets_ns)[kept]
        pooled[filled : filled + new.size] = new
        filled += new.size
    return pooled


def tokens_between(table: pa.Table, sent_ns: Ints, weight: Floats, edges_ns: Ints) -> Floats:
    """Output tokens whose chunk arrived in each interval [edge, next edge).

    `weight`: by how much each request's chunk counts are to be multiplied, one per row.
    """
    totals = np.zeros(edges_ns.size - 1)
    for block in blocks(table):
        arrived = block.spread(sent_ns[block.rows]) + block.offsets_ns
        tokens = block.tokens * block.spread(weight[block.rows])
        totals += _binned(arrived, tokens, edges_ns)
    return totals


def _binned(instants: Ints, amounts: Floats, edges_ns: Ints) -> Floats:
    if edges_ns.size == 2:
        inside = (instants >= edges_ns[0]) & (instants < edges_ns[1])
        return np.asarray([amounts[inside].sum()])
    bins = np.searchsorted(edges_ns, instants, side="right") - 1
    inside = (bins >= 0) & (bins < edges_ns.size - 1)
    return np.asarray(np.bincount(bins[inside], amounts[inside], minlength=edges_ns.size - 1), dtype=np.float64)
