"""The planned requests of one repetition with their bytes, built before the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.drivers.task import MeasurementTask
from harness.errors import RunFolderError
from harness.plan.prompts import PromptKey, PromptSource
from harness.protocols import trace_context
from harness.protocols.contract import ModelContract
from harness.protocols.encoder import Encoder, Header, RequestOptions
from harness.protocols.table import PROTOCOLS
from harness.records.schemas import request_id


@dataclass(frozen=True)
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
    message: bytes
    input_tokens_exact: bool  # the client's own tokenizer counted them
    metadata: tuple[Header, ...] = ()  # headers of this request alone
    streamed: bool = True


def build(task: MeasurementTask) -> list[PlannedRequest]:
    """All requests of the task's repetition, in order. Raises RunFolderError when the plan has none."""
    source = PromptSource.from_tokenizer(Path(task.tokenizer), task.prompt_seed) if task.tokenizer else None
    source = source or PromptSource.without_tokenizer(task.prompt_seed)
    contract = ModelContract(task.model, task.inputs, task.outputs, task.batched)
    encoder = PROTOCOLS[task.protocol].encoder(contract, options_of(task))
    takes_text = contract.takes_text
    compose = _compose_text if takes_text else _compose_ids
    return [
        PlannedRequest(
            index=row.number,
            request_id=(name := request_id(task.point_id, task.arm, task.repetition, row.number)),
            workload_part=row.workload_part,
            tenant=row.tenant,
            session_id=row.session_id,
            turn=row.turn,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            timeout_ns=row.timeout_ns,
            message=compose(encoder, source, name, _key(task, row.number), row, headers := _headers(task, name, row)),
            input_tokens_exact=source.exact or not takes_text,
            metadata=headers,
            streamed=task.streamed,
        )
        for row in _rows(task)
    ]


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


def _headers(task: MeasurementTask, name: str, row: _Row) -> tuple[Header, ...]:
    """Headers of this request alone: the trace context of one that is to be traced."""
    return ((trace_context.NAME, trace_context.traceparent(task.salt, name)),) if row.traced else ()


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
