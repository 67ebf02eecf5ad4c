"""The plan's rows of one repetition, and their prompts in clear: what every driver makes its requests from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.drivers.task import MeasurementTask
from harness.errors import RunFolderError
from harness.plan.prompts import PromptKey, PromptSource

Ids = NDArray[np.int32]


class PlannedRow(NamedTuple):
    """One row of the schema PLAN (`number` is `index` there)."""

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
    new_input_tokens: int | None


def read(task: MeasurementTask) -> list[PlannedRow]:
    """The rows of the task's repetition, by number. Raises RunFolderError when the plan has none."""
    path = Path(task.run_folder) / "plan.parquet"
    mine = (pc.field("point_id") == task.point_id) & (pc.field("repetition") == task.repetition)
    mine &= pc.field("arm").is_null() if task.arm is None else pc.field("arm") == task.arm
    columns = ["index", *PlannedRow._fields[1:]]
    table = pq.read_table(path, columns=columns, filters=mine).sort_by("index")
    if table.num_rows == 0:
        raise RunFolderError(f"{path}: no requests planned for point {task.point_id}, repetition {task.repetition}")
    return list(map(PlannedRow._make, zip(*(table[name].to_pylist() for name in columns), strict=True)))


class Prompts:
    """Writes the prompts of a task: whichever driver sends them, they are the same. Raises UsageError."""

    def __init__(self, task: MeasurementTask) -> None:
        self._task = task
        source = (
            PromptSource.from_tokenizer(Path(task.tokenizer), task.prompt_seed)
            if task.tokenizer
            else PromptSource.without_tokenizer(task.prompt_seed)
        )
        self._source = source.with_files(task.prompt_files)

    @property
    def exact(self) -> bool:
        """The client's own tokenizer counted the tokens of a text."""
        return self._source.exact

    def text(self, row: PlannedRow) -> bytes:
        """The prompt as UTF-8."""
        return self._source.text(
            self._key(row), row.input_tokens, row.prompt_seed, row.prefix_ids, part=row.workload_part
        )

    def ids(self, row: PlannedRow) -> Ids:
        """The prompt as token ids."""
        return self._source.ids(
            self._key(row), row.input_tokens, row.prompt_seed, row.prefix_ids, part=row.workload_part
        )

    def new_text(self, row: PlannedRow, new_tokens: int) -> bytes:
        """What a turn adds behind the reply before it."""
        return self._source.new_text(self._key(row), row.input_tokens, new_tokens, row.prompt_seed, row.prefix_ids)

    def new_ids(self, row: PlannedRow, new_tokens: int) -> Ids:
        """As `new_text`, as token ids."""
        return self._source.new_ids(self._key(row), row.input_tokens, new_tokens, row.prompt_seed, row.prefix_ids)

    def _key(self, row: PlannedRow) -> PromptKey:
        return key_of(self._task, row.number, row.turn)


def key_of(task: MeasurementTask, index: int, turn: int | None) -> PromptKey:
    """The key of a row's prompt: the turns of a session share the key of their first."""
    return PromptKey.of_row(task.salt, task.attempt, task.point_id, task.arm, task.repetition, index, turn)
