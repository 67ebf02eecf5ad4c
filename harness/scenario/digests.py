"""What the files of a scenario held when it ran: two runs ask the same only if these are equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.scenario.loader import Loaded, read_back


def digests(loaded: Loaded) -> dict[str, str]:
    """File of the workload or the load, as the scenario writes it → SHA-256 of its content, in hex."""
    written, folder = read_back(loaded.text, loaded.path), loaded.path.resolve().parent
    files = sorted({str(path) for part in (written.workload, written.load) for path in _paths(part)})
    return {file: _sha256((folder / Path(file).expanduser()).resolve()) for file in files}


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
