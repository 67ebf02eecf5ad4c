"""What a scenario refers to outside of its own text: files beside it, engines by name, environment variables.

They are looked up only when a loader passes its `Surroundings` as pydantic's validation context. Without them, as for a
scenario read back from a manifest, paths and `${NAME}` stay as they are written and nothing is touched.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo

from harness.resources import names
from harness.scenario.spelling import nearest
from harness.scenario.strict import mistake

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"authorization|api-?key|token|secret|password|cookie")


@dataclass(frozen=True)
class Surroundings:
    """The folder of the scenario file, and the environment."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)


def surroundings_of(info: ValidationInfo) -> Surroundings | None:
    """The surroundings given to this validation, if any."""
    return info.context if isinstance(info.context, Surroundings) else None


def _existing(path: Path, info: ValidationInfo) -> Path:
    around = surroundings_of(info)
    if around is None:
        return path
    full = (around.folder / path.expanduser()).resolve()
    if not full.exists():
        raise mistake(f"there is no file {str(path)!r}; a relative path counts from the folder of this file")
    return full


def _a_file(path: Path, info: ValidationInfo) -> Path:
    if surroundings_of(info) is not None and not path.is_file():
        raise mistake(f"{path.name!r} is a folder, a file is needed")
    return path


def _known_engine(engine: str, info: ValidationInfo) -> str:
    if surroundings_of(info) is None:
        return engine
    if engine.endswith((".yaml", ".yml")) or "/" in engine:
        return str(_existing(Path(engine), info))
    known = names("engines")
    if engine not in known:
        meant = nearest(engine, known)
        hint = f", did you mean `{meant}`?" if meant else ";"
        raise mistake(f"there is no engine {engine!r}{hint} known: {', '.join(known)}, or the path of a YAML file")
    return engine


def _filled_in(text: str, info: ValidationInfo) -> str:
    around = surroundings_of(info)
    if around is None:
        return text
    unset = [name for name in _VARIABLE.findall(text) if name not in around.environment]
    if unset:
        raise mistake(f"the environment variable {unset[0]} is not set: export it before the run")
    return _sendable(_VARIABLE.sub(lambda match: around.environment[match[1]], text))


def _sendable(value: str) -> str:
    """Never shows the value: it may be a secret."""
    if not re.fullmatch(r"[\x20-\x7e]*", value):
        raise mistake("a header is printable ASCII on one line; the value of a variable in it is not")
    return value


class _OpenSecret(str):
    """A header's value that was found to be a secret: marked where the name is known, refused where its line is."""


def _mark_open_secrets(headers: Any) -> Any:
    """Before variables are filled in: the text of a scenario is stored with every run, so it must hold no secret."""
    if not isinstance(headers, dict):
        return headers
    return {name: _OpenSecret(value) if _open_secret(name, value) else value for name, value in headers.items()}


def _open_secret(name: Any, value: Any) -> bool:
    return bool(_SECRET.search(str(name).lower())) and isinstance(value, str) and not _VARIABLE.search(value)


def _not_open(value: Any) -> Any:
    if isinstance(value, _OpenSecret):
        raise mistake("looks like a secret: write it as ${ENV_NAME} and export that variable")
    return value


LocalPath = Annotated[Path, Field(strict=False), AfterValidator(_existing)]
LocalFile = Annotated[LocalPath, AfterValidator(_a_file)]
EngineName = Annotated[str, AfterValidator(_known_engine)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]+$")]
HeaderValue = Annotated[str, BeforeValidator(_not_open), AfterValidator(_filled_in)]
Headers = Annotated[
    dict[HeaderName, HeaderValue],
    BeforeValidator(_mark_open_secrets),
    Field(json_schema_extra={"additionalProperties": False}),
]


def lengths_in(file: Path, column: str) -> list[int]:
    """The lengths in a column of a CSV file with a header. Raises a mistake naming the column or line that is wrong."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lengths = _column(csv.DictReader(stream), column)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise mistake(f"{file.name} cannot be read as CSV: {error}", "file") from error
    if not lengths:
        raise mistake(f"{file.name} has no rows", "file")
    return lengths


def _column(rows: csv.DictReader[str], column: str) -> list[int]:
    if column not in (rows.fieldnames or ()):
        raise _no_column(column, list(rows.fieldnames or ()))
    return [_length(row[column], rows.line_num, column) for row in rows]


def _no_column(column: str, known: list[str]) -> Exception:
    meant = nearest(column, known)
    hint = f", did you mean `{meant}`?" if meant else ";"
    return mistake(f"the file has no column {column!r}{hint} it has: {', '.join(known) or 'none'}", "column")


def _length(text: str | None, line: int, column: str) -> int:
    if text is None or not text.strip().isascii() or not text.strip().isdigit() or int(text) < 1:
        raise mistake(f"line {line} of the file: {column} is {text!r}, but lengths are whole numbers above 0", "column")
    return int(text)
