"""`foreign.json`: results that other tools computed themselves, kept beside the records and never mixed with them.

They are not measured by our rules: other windows, other percentiles, other definitions. So they are shown in a section
of their own, with the tool's own names, and nothing gates against them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import RunFolderError
from harness.records.store import RunFolder

FILE = "foreign.json"
VERSION = 1


@dataclass(frozen=True)
class ForeignValue:
    """One number under the name the other tool gives it; `nearest` is our metric it resembles, if any."""

    name: str
    value: float
    unit: str
    nearest: str | None = None


@dataclass(frozen=True)
class ForeignResult:
    """What one run of another tool reported."""

    tool: str  # "trtllm-bench"
    level: str  # what it drives: "engine" (in process, no server)
    source: str  # file name of the report
    sha256: str  # of that file
    values: list[ForeignValue]
    facts: dict[str, str] = field(default_factory=dict)  # model, backend, sizes, … as the tool names them
    notes: list[str] = field(default_factory=list)


def to_json(results: list[ForeignResult]) -> str:
    """The text of the file."""
    content = {"foreign_version": VERSION, "results": [dataclasses.asdict(result) for result in results]}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> list[ForeignResult]:
    """The results in this text. Raises RunFolderError when it is none of ours."""
    try:
        raw: Any = json.loads(text)
        if raw["foreign_version"] != VERSION:
            raise RunFolderError(f"{FILE} has version {raw['foreign_version']}, this harness reads version {VERSION}")
        return [_result(each) for each in raw["results"]]
    except (ValueError, TypeError, KeyError) as error:
        raise RunFolderError(f"{FILE} is damaged: {error}", hint="remove it and import the reports again") from error


def _result(raw: Mapping[str, Any]) -> ForeignResult:
    return ForeignResult(**{**raw, "values": [ForeignValue(**value) for value in raw["values"]]})


def read(folder: RunFolder) -> list[ForeignResult]:
    """The foreign results of a run; none when nothing was imported. Raises RunFolderError for a damaged file."""
    path = folder.path / FILE
    return from_json(path.read_text(encoding="utf-8")) if path.exists() else []


def add(folder: RunFolder, result: ForeignResult) -> Path:
    """Keep a result; importing the same report again replaces it. Returns the file."""
    others = [each for each in read(folder) if (each.tool, each.sha256) != (result.tool, result.sha256)]
    return folder.write_text(FILE, to_json([*others, result]))
