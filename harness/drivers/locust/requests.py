"""The planned requests of one worker's share of a repetition with their bytes, built before the run.

The share of worker k of n are the sessions whose number modulo n is k; a request without a session is its own session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.drivers.task import MeasurementTask
from harness.errors import RunFolderError
from harness.plan import traceparent
from harness.plan.prompts import PromptKey, PromptSource
from harness.protocols.contract import ModelContract
from harness.protocols.encoder import Encoder, Header, RequestOptions
from harness.protocols.table import PROTOCOLS
from harness.records.schemas import request_id


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One row of the plan with the bytes to send."""

    index: int
    request_id: str
    workload_part: str
    tenant: str
    session_id: str | None
    turn: int | None
    input_tokens: int
    output_tokens: int
    timeout_ns: int
    intended_offset_ns: int | None  # from the start of the repetition; later turns of a session have none
    think_time_ns: int
    cancel_after_tokens: int | None
    cancel_after_ns: int | None
    message: bytes
    input_tokens_exact: bool  # the client's own tokenizer counted them
    metadata: tuple[Header, ...] = ()  # headers of this request alone
    streamed: bool = True


Session = Sequence[PlannedRequest]  # its turns in order; most have one


@dataclass(frozen=True)
class PlanShare:
    """What one worker has to do."""

    sessions: Sequence[Session]
    window_length_ns: int | None  # open loop: up to the last arrival planned for the window, whichever worker sends it


def build(task: MeasurementTask, worker: int = 0, workers: int = 1) -> PlanShare:
    """The share of one worker, in the order of the plan. Raises RunFolderError when the plan has no requests at all."""
    sessions = _sessions(_rows(task))
    if task.concurrency is None:
        sessions.sort(key=lambda rows: rows[0].intended_offset_ns or 0)
    compose = _composer(task)
    mine = sessions[worker::workers]
    return PlanShare([[compose(row) for row in rows] for rows in mine], _window_length_ns(task, sessions))


def _sessions(rows: list[_Row]) -> list[list[_Row]]:
    """Rows of one session together, sessions in the order of their first row."""
    grouped: dict[str | int, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.number if row.session_id is None else row.session_id, []).append(row)
    return list(grouped.values())


def _window_length_ns(task: MeasurementTask, sessions: Sequence[Sequence[_Row]]) -> int | None:
    if task.concurrency is not None or task.window_ns is not None:
        return task.window_ns
    planned = [row.intended_offset_ns for rows in sessions for row in rows if row.phase == "window"]
    last = max((offset for offset in planned if offset is not None), default=None)
    return None if last is None else last + 1 - task.warm_up_ns


def _composer(task: MeasurementTask) -> Callable[[_Row], PlannedRequest]:
    source = PromptSource.from_tokenizer(Path(task.tokenizer), task.prompt_seed) if task.tokenizer else None
    source = source or PromptSource.without_tokenizer(task.prompt_seed)
    contract = ModelContract(task.model, task.inputs, task.outputs, task.batched)
    encoder = PROTOCOLS[task.protocol].encoder(contract, options_of(task))
    takes_text = contract.takes_text
    write = _compose_text if takes_text else _compose_ids

    def compose(row: _Row) -> PlannedRequest:
        name = request_id(task.point_id, task.arm, task.repetition, row.number)
        headers = _headers(task, row)
        return PlannedRequest(
            index=row.number,
            request_id=name,
            workload_part=row.workload_part,
            tenant=row.tenant,
            session_id=row.session_id,
            turn=row.turn,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            timeout_ns=row.timeout_ns,
            intended_offset_ns=row.intended_offset_ns,
            think_time_ns=row.think_time_ns or 0,
            cancel_after_tokens=row.cancel_after_tokens,
            cancel_after_ns=row.cancel_after_ns,
            message=write(encoder, source, name, _key(task, row.number), row, headers),
            input_tokens_exact=source.exact or not takes_text,
            metadata=headers,
            streamed=task.streamed,
        )

    return compose


class _Row(NamedTuple):
    """The columns of a plan row that a request needs, named as in the schema PLAN (`number` is `index` there)."""

    number: int
    workload_part: str
    tenant: str
    session_id: str | None
    turn: int | None
    input_tokens: int
    output_tokens: int
    timeout_ns: int
    prompt_seed: int
    prefix_ids: list[int] | None
    phase: str | None
    intended_offset_ns: int | None
    think_time_ns: int | None
    cancel_after_tokens: int | None
    cancel_after_ns: int | None
    traced: bool


def options_of(task: MeasurementTask) -> RequestOptions:
    """What all requests of the task share."""
    address = task.address
    host = f"[{address.host}]" if ":" in address.host else address.host
    return RequestOptions(task.streamed, f"{host}:{address.port}", address.base_path, address.headers)


def _rows(task: MeasurementTask) -> list[_Row]:
    path = Path(task.run_folder) / "plan.parquet"
    mine = (pc.field("point_id") == task.point_id) & (pc.field("repetition") == task.repetition)
    mine &= pc.field("arm").is_null() if task.arm is None else pc.field("arm") == task.arm
    columns = ["index", *_Row._fields[1:]]
    table = pq.read_table(path, columns=columns, filters=mine).sort_by("index")
    if table.num_rows == 0:
        raise RunFolderError(f"{path}: no requests planned for point {task.point_id}, repetition {task.repetition}")
    return list(map(_Row._make, zip(*(table[name].to_pylist() for name in columns), strict=True)))


def _key(task: MeasurementTask, index: int) -> PromptKey:
    return PromptKey(task.salt, task.attempt, task.point_id, task.arm, task.repetition, index)


def _headers(task: MeasurementTask, row: _Row) -> tuple[Header, ...]:
    """Headers of this request alone: its tenant's, and the trace context of one that is to be traced."""
    of_tenant = tuple(sorted(task.tenant_headers.get(row.tenant, {}).items()))
    traced = (traceparent.NAME, traceparent.traceparent(_key(task, row.number)))
    return (*of_tenant, traced) if row.traced else of_tenant


def _compose_text(
    encoder: Encoder, source: PromptSource, name: str, key: PromptKey, row: _Row, extra: tuple[Header, ...]
) -> bytes:
    text = source.text(key, row.input_tokens, row.prompt_seed, row.prefix_ids)
    return encoder.text(name, text, row.output_tokens, extra)


def _compose_ids(
    encoder: Encoder, source: PromptSource, name: str, key: PromptKey, row: _Row, extra: tuple[Header, ...]
) -> bytes:
    ids = source.ids(key, row.input_tokens, row.prompt_seed, row.prefix_ids)
    return encoder.ids(name, ids, row.output_tokens, extra)
