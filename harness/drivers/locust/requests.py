"""The planned requests of one worker's share of a repetition with their bytes, built before the run.

The share of worker k of n are the sessions whose number modulo n is k; a request without a session is its own session.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.drivers import planned
from harness.drivers.locust.conversation import Continuation, Conversation
from harness.drivers.planned import PlannedRow, Prompts
from harness.drivers.task import MeasurementTask
from harness.plan import traceparent
from harness.protocols.answer import Answer
from harness.protocols.contract import ModelContract
from harness.protocols.encoder import Header, RequestOptions
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
    continuation: Continuation | None = None  # until the reply before it is known there is no message

    def after(self, reply: Answer) -> PlannedRequest:
        """This turn, ready to be sent after the reply to the turn before it."""
        if self.continuation is None:
            return self
        return dataclasses.replace(self, message=self.continuation.message(reply), continuation=None)


Session = Sequence[PlannedRequest]  # its turns in order; most have one


@dataclass(frozen=True)
class PlanShare:
    """What one worker has to do."""

    sessions: Sequence[Session]
    window_length_ns: int | None  # open loop: up to the last arrival planned for the window, whichever worker sends it


def build(task: MeasurementTask, worker: int = 0, workers: int = 1) -> PlanShare:
    """The share of one worker, in the order of the plan. Raises RunFolderError when the plan has no requests at all."""
    sessions = _sessions(planned.read(task))
    if task.concurrency is None:
        sessions.sort(key=lambda rows: rows[0].intended_offset_ns or 0)
    composer = _Composer(task)
    mine = [composer.session(rows) for rows in sessions[worker::workers]]
    return PlanShare(mine, _window_length_ns(task, sessions))


def _sessions(rows: list[PlannedRow]) -> list[list[PlannedRow]]:
    """Rows of one session together, sessions in the order of their first row."""
    grouped: dict[str | int, list[PlannedRow]] = {}
    for row in rows:
        grouped.setdefault(row.number if row.session_id is None else row.session_id, []).append(row)
    return list(grouped.values())


def _window_length_ns(task: MeasurementTask, sessions: Sequence[Sequence[PlannedRow]]) -> int | None:
    if task.concurrency is not None or task.window_ns is not None:
        return task.window_ns
    offsets = [row.intended_offset_ns for rows in sessions for row in rows if row.phase == "window"]
    last = max((offset for offset in offsets if offset is not None), default=None)
    return None if last is None else last + 1 - task.warm_up_ns


class _Composer:
    """Makes the requests of a task from the rows of its plan."""

    def __init__(self, task: MeasurementTask) -> None:
        contract = ModelContract(task.model, task.inputs, task.outputs, task.batched)
        self._task = task
        self._prompts = Prompts(task)
        self._encoder = PROTOCOLS[task.protocol].encoder(contract, options_of(task))
        self._takes_text = contract.takes_text
        self._exact = self._prompts.exact or not contract.takes_text

    def session(self, rows: Sequence[PlannedRow]) -> Session:
        """The requests of one session, turn after turn."""
        if len(rows) == 1 or all(row.new_input_tokens is None for row in rows):
            return [self._request(row) for row in rows]
        conversation = Conversation(self._prompt(rows[0]), of_ids=not self._takes_text)
        return [self._request(row, conversation) for row in rows]

    def _request(self, row: PlannedRow, conversation: Conversation | None = None) -> PlannedRequest:
        encode, continuation = self._encoder_of(row), None
        if conversation is not None and row.new_input_tokens is not None:
            continuation = Continuation(conversation, self._new(row, row.new_input_tokens), encode)
        return PlannedRequest(
            index=row.number,
            request_id=self._request_id(row),
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
            message=b"" if continuation else encode(self._prompt(row)),
            input_tokens_exact=self._exact and continuation is None,
            metadata=_headers(self._task, row),
            streamed=self._task.streamed,
            continuation=continuation,
        )

    def _request_id(self, row: PlannedRow) -> str:
        return request_id(self._task.point_id, self._task.arm, self._task.repetition, row.number)

    def _prompt(self, row: PlannedRow) -> bytes:
        """The prompt as bytes: UTF-8, or ids."""
        return self._prompts.text(row) if self._takes_text else self._prompts.ids(row).tobytes()

    def _new(self, row: PlannedRow, tokens: int) -> bytes:
        """What the turn adds, as bytes."""
        return self._prompts.new_text(row, tokens) if self._takes_text else self._prompts.new_ids(row, tokens).tobytes()

    def _encoder_of(self, row: PlannedRow) -> Callable[[bytes], bytes]:
        """The bytes of the row's request from its prompt."""
        name, extra, encoder = self._request_id(row), _headers(self._task, row), self._encoder
        if self._takes_text:
            return lambda prompt: encoder.text(name, prompt, row.output_tokens, extra)
        return lambda prompt: encoder.ids(name, np.frombuffer(prompt, np.int32), row.output_tokens, extra)


def options_of(task: MeasurementTask) -> RequestOptions:
    """What all requests of the task share."""
    address = task.address
    host = f"[{address.host}]" if ":" in address.host else address.host
    return RequestOptions(task.streamed, f"{host}:{address.port}", address.base_path, address.headers)


def _headers(task: MeasurementTask, row: PlannedRow) -> tuple[Header, ...]:
    """Headers of this request alone: its tenant's, and the trace context of one that is to be traced."""
    of_tenant = tuple(sorted(task.tenant_headers.get(row.tenant, {}).items()))
    if not row.traced:
        return of_tenant
    return (*of_tenant, (traceparent.NAME, traceparent.traceparent(planned.key_of(task, row.number, turn=None))))
