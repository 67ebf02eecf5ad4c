"""Replies matched with the plan → record rows (schema REQUESTS). Pure.

perf_analyzer knows no timeout: a request that took longer than the plan allows, or than the drain allows, is cut here
as the Locust driver would have cut it, and keeps what had come by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from harness.drivers.perf_analyzer.cut import Cut, Span
from harness.drivers.perf_analyzer.export import Reply
from harness.drivers.perf_analyzer.inputs import Key
from harness.drivers.planned import PlannedRow
from harness.drivers.task import MeasurementTask
from harness.errors import DriverFailed
from harness.records.schemas import REQUESTS, request_id


@dataclass(frozen=True)
class Matched:
    """A reply with its plan row, on the run's clock. `intended_ns` is None in a closed loop."""

    row: PlannedRow
    reply: Reply
    sent_ns: int
    done_ns: int
    stamps_ns: list[int]
    intended_ns: int | None = None

    @property
    def span(self) -> Span:
        """What the phases are cut from."""
        return Span(self.sent_ns if self.intended_ns is None else self.intended_ns, self.done_ns)


def match(
    replies: Sequence[Reply], planned: Mapping[Key, Sequence[PlannedRow]], to_run: Callable[[int], int]
) -> list[Matched]:
    """Every reply with its row, by number; replies of one prompt take its rows in the order of sending.

    Raises DriverFailed for a request that was not planned, or that was sent more often than planned.
    """
    left = {key: iter(each) for key, each in planned.items()}
    found = []
    for reply in sorted(replies, key=lambda reply: reply.sent_ns):
        row = next(left.get(reply.key, iter(())), None)
        if row is None:
            how = "twice" if reply.key in planned else "that is not in the plan"
            raise DriverFailed(f"perf_analyzer sent a request {how}", hint="its inputs and the plan do not fit: a bug")
        stamps = [to_run(stamp) for stamp in reply.chunk_stamps_ns]
        found.append(Matched(row, reply, to_run(reply.sent_ns), to_run(reply.done_ns), stamps))
    return sorted(found, key=lambda matched: matched.row.number)


def table(task: MeasurementTask, items: Sequence[Matched], cut: Cut, *, input_tokens_exact: bool) -> pa.Table:
    """The rows (schema REQUESTS) of these requests."""
    return pa.Table.from_pylist([_row(task, item, cut, input_tokens_exact) for item in items], schema=REQUESTS)


def _row(task: MeasurementTask, item: Matched, cut: Cut, input_tokens_exact: bool) -> dict[str, Any]:
    row, reply, phase = item.row, item.reply, cut.phase(item.span.origin_ns)
    limit_ns, error = _limit(item, cut, phase)
    timed_out = item.done_ns > limit_ns
    kept = [(s, n) for s, n in zip(item.stamps_ns, reply.chunk_tokens, strict=True) if not timed_out or s <= limit_ns]
    carriers = [stamp for stamp, tokens in kept if tokens > 0]
    counted = sum(tokens for _, tokens in kept)
    arrival, scheduled, first_token, last_token = reply.server_times_ns or (None, None, None, None)
    return {
        "point_id": task.point_id,
        "repetition": task.repetition,
        "arm": task.arm,
        "index": row.number,
        "request_id": request_id(task.point_id, task.arm, task.repetition, row.number),
        "phase": phase,
        "workload_part": row.workload_part,
        "tenant": row.tenant,
        "session_id": row.session_id,
        "turn": row.turn,
        "intended_ns": item.intended_ns,
        "sent_ns": item.sent_ns,
        "first_token_ns": carriers[0] if carriers else None,
        "last_token_ns": carriers[-1] if carriers else None,
        "done_ns": limit_ns if timed_out else item.done_ns,
        "outcome": "timeout" if timed_out else "ok",
        "error": error if timed_out else None,
        "input_tokens_asked": row.input_tokens,
        "input_tokens_client": row.input_tokens if input_tokens_exact else None,
        "input_tokens_server": reply.input_tokens,
        "output_tokens_asked": row.output_tokens,
        "output_tokens_client": counted if reply.counted_by == "ids" else None,
        "output_tokens_server": counted if reply.counted_by == "server" else None,
        "chunk_offsets_ns": [stamp - item.sent_ns for stamp, _ in kept],
        "chunk_tokens": [tokens for _, tokens in kept],
        "server_arrival_ns": arrival,
        "server_first_scheduled_ns": scheduled,
        "server_first_token_ns": first_token,
        "server_last_token_ns": last_token,
        "worker": 0,
        "connection_reused": True,
    }


def _limit(item: Matched, cut: Cut, phase: str) -> tuple[int, str]:
    """By when the request had to be done, and what is said of it when it was not."""
    own = item.sent_ns + item.row.timeout_ns
    if phase == "window" and cut.drain_end_ns < own:
        return cut.drain_end_ns, "not done within the drain limit"
    return own, "no final answer within the timeout"
