"""The planned requests of one repetition with their bytes, built before the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.drivers.task import MeasurementTask
from harness.errors import RunFolderError
from harness.plan.prompts import PromptKey, PromptSource
from harness.protocols.triton_grpc import ModelContract, RequestEncoder
from harness.records.schemas import request_id

Compose = Callable[[RequestEncoder, PromptSource, str, PromptKey, dict[str, Any]], bytes]


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


def build(task: MeasurementTask) -> list[PlannedRequest]:
    """All requests of the task's repetition, in order. Raises RunFolderError when the plan has none."""
    source = PromptSource.from_tokenizer(Path(task.tokenizer), task.prompt_seed) if task.tokenizer else None
    source = source or PromptSource.without_tokenizer(task.prompt_seed)
    encoder = RequestEncoder(ModelContract(task.model, task.inputs, task.outputs, task.batched))
    compose = _compose_text if "text_input" in task.inputs else _compose_ids
    return [_planned(task, row, source, compose, encoder) for row in _rows(task)]


def _rows(task: MeasurementTask) -> list[dict[str, Any]]:
    path = Path(task.run_folder) / "plan.parquet"
    mine = (pc.field("point_id") == task.point_id) & (pc.field("repetition") == task.repetition)
    mine &= pc.field("arm").is_null() if task.arm is None else pc.field("arm") == task.arm
    rows: list[dict[str, Any]] = pq.read_table(path, filters=mine).sort_by("index").to_pylist()
    if not rows:
        raise RunFolderError(f"{path}: no requests planned for point {task.point_id}, repetition {task.repetition}")
    return rows


def _planned(
    task: MeasurementTask, row: dict[str, Any], source: PromptSource, compose: Compose, encoder: RequestEncoder
) -> PlannedRequest:
    name = request_id(task.point_id, task.arm, task.repetition, row["index"])
    key = PromptKey(task.salt, task.attempt, task.point_id, task.arm, task.repetition, row["index"])
    return PlannedRequest(
        index=row["index"],
        request_id=name,
        workload_part=row["workload_part"],
        tenant=row["tenant"],
        session_id=row["session_id"],
        turn=row["turn"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        timeout_ns=row["timeout_ns"],
        message=compose(encoder, source, name, key, row),
        input_tokens_exact=source.exact or compose is _compose_ids,
    )


def _compose_text(
    encoder: RequestEncoder, source: PromptSource, name: str, key: PromptKey, row: dict[str, Any]
) -> bytes:
    text = source.text(key, row["input_tokens"], row["prompt_seed"], row["prefix_ids"] or ())
    return encoder.text(name, text, row["output_tokens"])


def _compose_ids(
    encoder: RequestEncoder, source: PromptSource, name: str, key: PromptKey, row: dict[str, Any]
) -> bytes:
    ids = source.ids(key, row["input_tokens"], row["prompt_seed"], row["prefix_ids"] or ())
    return encoder.ids(name, ids, row["output_tokens"])
