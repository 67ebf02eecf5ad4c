"""Request rows as numpy columns, one repetition at a time.

Instants stay int64 nanoseconds with MISSING for null (float64 would lose nanoseconds after 100 days of uptime).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import RunFolderError
from harness.records.schemas import OUTCOMES, REQUEST_ORDER

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MISSING = int(np.iinfo(np.int64).min)
NOT_FAILED = ("ok", "cancelled")
FAILURES = tuple(outcome for outcome in OUTCOMES if outcome not in NOT_FAILED)

RepetitionKey = tuple[str, str | None, int]  # point_id, arm, repetition


def known(values: Ints) -> Flags:
    """Where a nullable column has a value."""
    return np.asarray(values != MISSING)


@dataclass(frozen=True)
class Rows:
    """The request rows of one repetition. All arrays have one entry per row, in the order of `table`."""

    table: pa.Table
    intended_ns: Ints
    sent_ns: Ints
    first_token_ns: Ints
    last_token_ns: Ints
    done_ns: Ints
    outcome: Ints  # index into OUTCOMES
    input_tokens_asked: Ints
    input_tokens_client: Ints
    input_tokens_server: Ints
    output_tokens_asked: Ints
    output_tokens_client: Ints
    output_tokens_server: Ints

    @property
    def ok(self) -> Flags:
        """Requests that ended well."""
        return np.asarray(self.outcome == OUTCOMES.index("ok"))

    @property
    def cancelled(self) -> Flags:
        """Requests cancelled as planned: no failures."""
        return np.asarray(self.outcome == OUTCOMES.index("cancelled"))

    @property
    def failed(self) -> Flags:
        """Everything else: failures, sent or not."""
        return ~(self.ok | self.cancelled)

    def __len__(self) -> int:
        return int(self.sent_ns.size)


NUMBERS = tuple(name for name in Rows.__dataclass_fields__ if name not in ("table", "outcome"))


def rows_of(table: pa.Table) -> Rows:
    """The numpy columns of one repetition's rows (schema REQUESTS). Raises RunFolderError on an unknown outcome."""
    outcome = pc.index_in(table["outcome"], value_set=pa.array(OUTCOMES))
    if outcome.null_count:
        unknown = sorted(set(pc.unique(table["outcome"]).to_pylist()) - set(OUTCOMES))
        raise RunFolderError(f"requests.parquet: unknown outcome {unknown[0]!r}", hint="use the harness that wrote it")
    numbers = {name: _int64(table[name]) for name in NUMBERS}
    return Rows(table=table, outcome=_int64(outcome), **numbers)


def _int64(column: Any) -> Ints:
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), MISSING).to_numpy(), dtype=np.int64)


def by_repetition(requests: pa.Table) -> dict[RepetitionKey, pa.Table]:
    """The rows of each repetition, as slices without a copy where the table is sorted as stored."""
    slices = list(_runs(requests))
    if len({key for key, _ in slices}) < len(slices):
        slices = list(_runs(requests.sort_by([(name, "ascending") for name in REQUEST_ORDER])))
    return dict(slices)


def _codes(column: pa.ChunkedArray) -> Ints:
    """Equal values (null included) as equal integers."""
    return np.asarray(pc.index_in(column, value_set=column.unique()).to_numpy())


def _runs(requests: pa.Table) -> Iterator[tuple[RepetitionKey, pa.Table]]:
    """(key, slice) of each stretch of rows with one key."""
    if requests.num_rows == 0:
        return
    changes = np.zeros(requests.num_rows, dtype=bool)
    changes[0] = True
    for name in ("point_id", "repetition", "arm"):
        codes = _codes(requests[name])
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes)
    for start, end in zip(starts, [*starts[1:], requests.num_rows], strict=True):
        rows = requests.slice(int(start), int(end - start))
        yield (rows["point_id"][0].as_py(), rows["arm"][0].as_py(), rows["repetition"][0].as_py()), rows
