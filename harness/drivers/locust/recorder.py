"""The record sink of one worker: finished requests become rows, rows are appended to the part file every few seconds.

A failure to write is never swallowed: the rows that could not be kept are counted and the driver reports it. Writing
takes place in slices, so that no stream waits long for its time stamp.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
import pyarrow as pa

from harness.drivers.locust.requests import PlannedRequest
from harness.protocols.answer import Answer
from harness.records.schemas import REQUESTS
from harness.records.store import PartWriter

FLUSH_EVERY_S = 5.0
SLICE_ROWS, SLICE_CHUNKS = 64, 2048  # at most half a millisecond of work; then other greenlets get their turn


@dataclass(frozen=True)
class FinishedRequest:
    """A request that is over: its plan row, when it was meant to be sent and was sent, and what came back."""

    planned: PlannedRequest
    intended_ns: int | None  # closed loop: only later turns of a session have one
    sent_ns: int | None  # None: never sent, and then nothing came back
    connection_reused: bool
    answer: Answer


@dataclass(frozen=True)
class Identity:
    """What all rows of one repetition share."""

    point_id: str
    repetition: int
    arm: str | None
    worker: int = 0
    open_loop: bool = False


class Recorder:
    """Buffers finished requests and writes them. `flush` is called by one greenlet at a time."""

    def __init__(self, writer: PartWriter, identity: Identity, phase_of: Callable[[int], str]) -> None:
        self._writer = writer
        self._identity = identity
        self._phase_of = phase_of
        self._buffer: list[FinishedRequest] = []
        self.written = 0
        self.failed = 0
        self.error: str | None = None
        self.flush_ns_max = 0

    def add(self, finished: FinishedRequest) -> None:
        """Take one finished request."""
        self._buffer.append(finished)

    def flush(self) -> None:
        """Write what is buffered, slice by slice."""
        ready, self._buffer = self._buffer, []
        for part in slices(ready):
            self._write(part)
            gevent.sleep(0)

    def _write(self, items: Sequence[FinishedRequest]) -> None:
        started = time.perf_counter_ns()
        try:
            self._writer.write(_table(items, self._identity, self._phase_of))
            self.written += len(items)
        except OSError as error:
            self.failed += len(items)
            self.error = f"cannot write records: {error.strerror or error}"
        self.flush_ns_max = max(self.flush_ns_max, time.perf_counter_ns() - started)


def slices(items: Sequence[FinishedRequest]) -> Iterator[Sequence[FinishedRequest]]:
    """Consecutive parts of bounded work: so many rows, or so many chunks (one request may exceed that alone)."""
    start = chunks = 0
    for end, item in enumerate(items):
        more = len(item.answer.chunk_stamps_ns)
        if end > start and (end - start >= SLICE_ROWS or chunks + more > SLICE_CHUNKS):
            yield items[start:end]
            start, chunks = end, 0
        chunks += more
    if start < len(items):
        yield items[start:]


def _table(items: Sequence[FinishedRequest], identity: Identity, phase_of: Callable[[int], str]) -> pa.Table:
    """The rows of these requests (schema REQUESTS), column by column."""
    planned = [item.planned for item in items]
    answers = [item.answer for item in items]
    sent = [item.sent_ns for item in items]
    intended = [item.intended_ns for item in items]
    stamped = [_token_stamps(answer) for answer in answers]
    columns: dict[str, list[Any]] = {
        "point_id": [identity.point_id] * len(items),
        "repetition": [identity.repetition] * len(items),
        "arm": [identity.arm] * len(items),
        "index": [row.index for row in planned],
        "request_id": [row.request_id for row in planned],
        "phase": [phase_of(origin or 0) for origin in (intended if identity.open_loop else sent)],
        "workload_part": [row.workload_part for row in planned],
        "tenant": [row.tenant for row in planned],
        "session_id": [row.session_id for row in planned],
        "turn": [row.turn for row in planned],
        "intended_ns": intended,
        "sent_ns": sent,
        "first_token_ns": [stamps[0] if stamps else None for stamps in stamped],
        "last_token_ns": [stamps[-1] if stamps else None for stamps in stamped],
        "done_ns": [None if item.sent_ns is None else item.answer.done_ns for item in items],
        "outcome": [answer.outcome for answer in answers],
        "error": [answer.error for answer in answers],
        "input_tokens_asked": [row.input_tokens for row in planned],
        "input_tokens_client": [row.input_tokens if row.input_tokens_exact else None for row in planned],
        "input_tokens_server": [answer.input_tokens_server for answer in answers],
        "output_tokens_asked": [row.output_tokens for row in planned],
        "output_tokens_client": [answer.output_tokens_client for answer in answers],
        "output_tokens_server": [answer.output_tokens_server for answer in answers],
        "server_arrival_ns": [answer.server_arrival_ns for answer in answers],
        "server_first_scheduled_ns": [answer.server_first_scheduled_ns for answer in answers],
        "server_first_token_ns": [answer.server_first_token_ns for answer in answers],
        "server_last_token_ns": [answer.server_last_token_ns for answer in answers],
        "worker": [identity.worker] * len(items),
        "connection_reused": [item.connection_reused for item in items],
    }
    arrays = {name: pa.array(values, REQUESTS.field(name).type) for name, values in columns.items()}
    offsets = [
        [stamp - instant for stamp in answer.chunk_stamps_ns] if instant is not None else []
        for answer, instant in zip(answers, sent, strict=True)
    ]
    arrays["chunk_offsets_ns"] = _lists(offsets, pa.int64())
    arrays["chunk_tokens"] = _lists([answer.chunk_tokens for answer in answers], pa.int32())
    return pa.Table.from_arrays([arrays[name] for name in REQUESTS.names], schema=REQUESTS)


def _token_stamps(answer: Answer) -> list[int]:
    return [stamp for stamp, tokens in zip(answer.chunk_stamps_ns, answer.chunk_tokens, strict=True) if tokens > 0]


def _lists(values: Sequence[Sequence[int]], kind: pa.DataType) -> pa.ListArray:
    ends = list(itertools.accumulate((len(value) for value in values), initial=0))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(itertools.chain.from_iterable(values), kind))
