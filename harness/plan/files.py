"""Reads the files that a scenario names (lengths, traces, prompts), so that everything after it is a pure function.

The scenario that comes back is the same, but knows what its files hold. Of prompts only the lengths are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic_core import PydanticCustomError

from harness.errors import UsageError
from harness.scenario.arrivals import Arrivals, TraceArrivals
from harness.scenario.lengths import AnyLengths, Empirical
from harness.scenario.load import ClosedLoop, Load, MultiTenant, OpenLoop
from harness.scenario.prompt_file import PromptRow, read_prompts
from harness.scenario.prompts import FileLengths, FilePrompts, Prompts
from harness.scenario.schema import Scenario
from harness.scenario.surroundings import lengths_in
from harness.scenario.trace_file import read_trace
from harness.scenario.workload import Part

Count = Callable[[bytes], int | None]


def words(text: bytes) -> int:
    """A guess at the tokens of a text where no tokenizer is known: its words."""
    return max(1, len(text.split()))


def with_files_read(scenario: Scenario, count: Count | None = None) -> Scenario:
    """The scenario with every file read: lengths in place of their file, traces and prompts with their rows.

    `count` gives the tokens of a text as the server counts them (`PromptSource.count`; None where it cannot). Raises
    UsageError when a file has gone or changed for the worse since the scenario was loaded.
    """
    workloads = [
        workload.model_copy(update={"parts": [_part(part, count) for part in workload.parts]})
        for workload in scenario.workload
    ]
    return scenario.model_copy(update={"workload": workloads, "load": _load(scenario.load)})


def prompt_files(scenario: Scenario, workload: str) -> dict[str, str]:
    """Part name → path of its file of prompts, for `PromptSource.with_files`."""
    return {
        part.name: str(part.prompts.file)
        for each in scenario.workload
        if each.name == workload
        for part in each.parts
        if isinstance(part.prompts, FilePrompts)
    }


def texts_in(file: Path) -> list[bytes]:
    """The texts of a file of prompts, by row. Raises UsageError."""
    return [row.text.encode() for row in _prompts(file)]


def _part(part: Part, count: Count | None) -> Part:
    read: dict[str, object] = {
        "input_tokens": _lengths(part.input_tokens),
        "output_tokens": _lengths(part.output_tokens),
        "prompts": _with_lengths(part.prompts, count),
    }
    if part.sessions is not None:
        new = _lengths(part.sessions.new_input_tokens)
        read["sessions"] = part.sessions.model_copy(update={"new_input_tokens": new})
    if part.cancel is not None and part.cancel.after_tokens is not None:
        read["cancel"] = part.cancel.model_copy(update={"after_tokens": _lengths(part.cancel.after_tokens)})
    return part.model_copy(update=read)


def _lengths(lengths: AnyLengths) -> AnyLengths:
    if not isinstance(lengths, Empirical) or lengths.file is None or lengths.column is None:
        return lengths
    try:
        tokens = lengths_in(lengths.file, lengths.column)
    except PydanticCustomError as error:  # what validators raise
        raise UsageError(f"{lengths.file}: {error}") from error
    return Empirical(distribution="empirical", tokens=tokens)


def _with_lengths(prompts: Prompts, count: Count | None) -> Prompts:
    if not isinstance(prompts, FilePrompts):
        return prompts
    every = _prompts(prompts.file)
    tokens = [_tokens(prompt.text, count) for prompt in every]
    most = prompts.max_input_tokens or max(tokens)
    rows = [row for row, size in enumerate(tokens) if size <= most]
    if not rows:
        raise UsageError(
            f"{prompts.file.name}: every prompt is longer than max_input_tokens ({most}; the shortest: {min(tokens)})",
            hint="raise prompts.max_input_tokens",
        )
    answers = [_answer_tokens(every[row], count) for row in rows]
    known = tuple(size for size in answers if size is not None)
    return prompts.with_lengths(
        FileLengths(tuple(rows), tuple(tokens[row] for row in rows), known if len(known) == len(rows) else None)
    )


def _tokens(text: str, count: Count | None) -> int:
    counted = count(text.encode()) if count is not None else None
    return counted if counted is not None else words(text.encode())


def _answer_tokens(prompt: PromptRow, count: Count | None) -> int | None:
    if prompt.output_tokens is not None or prompt.answer is None:
        return prompt.output_tokens
    return _tokens(prompt.answer, count)


def _prompts(file: Path) -> list[PromptRow]:
    try:
        return read_prompts(file)
    except PydanticCustomError as error:
        raise UsageError(f"{file}: {error}") from error


def _load(load: Load) -> Load:
    match load:
        case ClosedLoop():
            return load
        case OpenLoop():
            return load.model_copy(update={"arrivals": _arrivals(load.arrivals)})
        case MultiTenant():
            tenants = [each.model_copy(update={"arrivals": _arrivals(each.arrivals)}) for each in load.tenants]
            return load.model_copy(update={"tenants": tenants})


def _arrivals(arrivals: Arrivals) -> Arrivals:
    if not isinstance(arrivals, TraceArrivals):
        return arrivals
    try:
        return arrivals.with_trace(read_trace(arrivals.file))
    except PydanticCustomError as error:
        raise UsageError(f"{arrivals.file}: {error}") from error
