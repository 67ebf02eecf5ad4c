"""Reads recorded traces: when requests arrived, how long they were, and which blocks of prefix they shared.

Three formats, told apart by their first line:

- Azure LLM inference traces, CSV: `TIMESTAMP` (date and time), `ContextTokens`, `GeneratedTokens`.
- Mooncake, JSONL: `timestamp` (milliseconds), `input_length`, `output_length`, `hash_ids` (ids of 512-token blocks).
- Ours, CSV or JSONL: `arrival_s`, and if recorded `input_tokens`, `output_tokens`, `block_ids` (a list; in CSV numbers
  with spaces between). Other columns are ignored.

Instants are nanoseconds from the first arrival of the file. Rows out of order are sorted.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from harness.scenario.spelling import nearest
from harness.scenario.strict import mistake
from harness.units import NS_PER_MS, NS_PER_S

FORMATS = (
    "a CSV file with TIMESTAMP, ContextTokens, GeneratedTokens (Azure), JSONL with timestamp, input_length,"
    " output_length (Mooncake), or CSV or JSONL with arrival_s, input_tokens, output_tokens"
)
LARGEST = 2**31 - 1  # tokens of one request

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One recorded request. Lengths are None, and `blocks` empty, where the file does not have them."""

    arrival_ns: int
    input_tokens: int | None
    output_tokens: int | None
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trace:
    """The rows of a file in order of arrival, the first at 0."""

    rows: tuple[TraceRow, ...]

    @property
    def length_ns(self) -> int:
        """From the first arrival to the last."""
        return self.rows[-1].arrival_ns


@dataclass(frozen=True)
class _Format:
    """Which column holds what, and how an instant is written."""

    arrival: str
    input_tokens: str
    output_tokens: str
    blocks: str
    instant_ns: Callable[[Any], int]


def read_trace(file: Path) -> Trace:
    """The whole trace. Raises a mistake that names what is wrong, with its line."""
    rows = sorted(_rows(file), key=lambda row: row.arrival_ns)
    first = rows[0].arrival_ns
    return Trace(tuple(TraceRow(r.arrival_ns - first, r.input_tokens, r.output_tokens, r.blocks) for r in rows))


def first_row_of(file: Path) -> TraceRow:
    """The first row as written: is the file a trace, and what does it have? Raises a mistake as `read_trace`."""
    return next(_rows(file))


def _rows(file: Path) -> Iterator[TraceRow]:
    empty = True
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            for row in _parsed(stream):
                empty = False
                yield row
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise mistake(f"{file.name} cannot be read as a trace: {error}") from error
    if empty:
        raise mistake(f"{file.name} has no rows; a trace is {FORMATS}")


def _parsed(stream: Iterable[str]) -> Iterator[TraceRow]:
    lines = iter(stream)
    head = list(islice(lines, 1))
    if not head:
        return
    records = _json_lines if head[0].lstrip().startswith("{") else _csv_lines
    known: _Format | None = None
    for number, record in records(_chained(head, lines)):
        known = known or _format_of(list(record))
        yield _row(record, known, number)


def _chained(head: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from head
    yield from rest


def _json_lines(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise mistake(f"line {number} of the file is no JSON: {error.msg}") from error
        if not isinstance(record, dict):
            raise mistake(f"line {number} of the file is no JSON object")
        yield number, record


def _csv_lines(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(lines, skipinitialspace=True)
    _format_of([name.strip() for name in reader.fieldnames or ()])
    for record in reader:
        yield reader.line_num, {(name or "").strip(): value for name, value in record.items()}


def _format_of(columns: list[str]) -> _Format:
    for known in _KNOWN:
        if known.arrival in columns:
            return known
    wanted = [known.arrival for known in _KNOWN]
    meant = next((f"; did you mean `{right}`?" for name in columns if (right := nearest(name, wanted))), "")
    has = f"it has {', '.join(columns)}" if columns else "it has no columns"
    raise mistake(f"is not a trace, {has}{meant}; a trace is {FORMATS}")


def _row(record: Mapping[str, Any], known: _Format, line: int) -> TraceRow:
    try:
        arrival_ns = known.instant_ns(record.get(known.arrival))
    except (TypeError, ValueError, OverflowError):
        found = record.get(known.arrival)
        raise mistake(f"line {line} of the file: {known.arrival} is {found!r}, which is no instant") from None
    return TraceRow(
        arrival_ns,
        _tokens(record, known.input_tokens, line),
        _tokens(record, known.output_tokens, line),
        _blocks(record, known.blocks, line),
    )


def _tokens(record: Mapping[str, Any], column: str, line: int) -> int | None:
    found = record.get(column)
    if column not in record:
        return None
    text = str(found).strip()
    if isinstance(found, bool) or not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > LARGEST:
        raise mistake(f"line {line} of the file: {column} is {found!r}, but lengths are whole numbers")
    return int(text)


def _blocks(record: Mapping[str, Any], column: str, line: int) -> tuple[int, ...]:
    found = record.get(column)
    if found is None:
        return ()
    try:
        return tuple(map(int, found.split() if isinstance(found, str) else found))
    except (TypeError, ValueError):
        raise mistake(f"line {line} of the file: {column} is {found!r}, but block ids are whole numbers") from None


def _date_ns(value: Any) -> int:
    found = _TIME.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(value)
    date, time, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    whole = datetime.fromisoformat(f"{date} {time}{offset}").astimezone(UTC)
    return int(whole.timestamp()) * NS_PER_S + int((fraction or "").ljust(9, "0"))


def _number_ns(value: Any, unit_ns: int) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(value)
    return round(float(value) * unit_ns)  # nan and infinity raise here


_KNOWN = (
    _Format("TIMESTAMP", "ContextTokens", "GeneratedTokens", "", _date_ns),
    _Format("timestamp", "input_length", "output_length", "hash_ids", lambda value: _number_ns(value, NS_PER_MS)),
    _Format("arrival_s", "input_tokens", "output_tokens", "block_ids", lambda value: _number_ns(value, NS_PER_S)),
)
