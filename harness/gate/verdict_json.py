"""`verdict.json`: one per folder. `kind` says what it holds: the verdict of a gate, or a run's own objectives.

Of a gate it is the fields of `Verdict`, the exit code, and under `run` what the folder's own verdict was, if it is a
run. An infinite number stands as the string "Infinity" or "-Infinity": JSON has no other word, and null means unknown.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import RunFolderError
from harness.gate.verdict import Verdict

FILE = "verdict.json"
SCHEMA_VERSION = 1
GATE, RUN = "gate", "run"  # the kinds


def gate_json(verdict: Verdict, run: Mapping[str, Any] | None = None) -> str:
    """The file of a gate. `run`: the run's own verdict (`run_part` of what stood there before)."""
    head = {"schema_version": SCHEMA_VERSION, "kind": GATE}
    end = {"exit_code": verdict.ending.code, "meaning": verdict.ending.meaning}
    return text({**head, **end, **dataclasses.asdict(verdict), "run": None if run is None else dict(run)})


def run_json(content: Mapping[str, Any]) -> str:
    """The file of a run that no gate has judged. `content`: status, exit_code, meaning, points, …"""
    return text({"schema_version": SCHEMA_VERSION, "kind": RUN, **content})


def read(source: str) -> Verdict | None:
    """The gate's verdict in the text of a verdict.json; None where it is a run's own.

    Raises RunFolderError when it is damaged.
    """
    content = content_of(source)
    if content.get("kind", RUN) != GATE:
        return None
    try:
        return TypeAdapter(Verdict).validate_python({name: content[name] for name in _FIELDS if name in content})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(f"{where}: {first['msg']}") from error


def run_part(source: str) -> dict[str, Any] | None:
    """The run's own verdict in the text of a verdict.json, whichever kind it is."""
    content = content_of(source)
    if content.get("kind", RUN) == GATE:
        run: dict[str, Any] | None = content.get("run")
        return run
    return {name: value for name, value in content.items() if name not in ("schema_version", "kind")}


def content_of(source: str) -> dict[str, Any]:
    """The object in the text. Raises RunFolderError when there is none, or a later harness wrote it."""
    try:
        content = json.loads(source)
    except ValueError as error:
        raise _damaged(str(error)) from error
    if not isinstance(content, dict) or "status" not in content:
        raise _damaged("it holds no verdict")
    if content.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise _damaged(f"it has schema_version {content['schema_version']}, this harness reads {SCHEMA_VERSION}")
    return content


_FIELDS = tuple(field.name for field in dataclasses.fields(Verdict))


def _damaged(why: str) -> RunFolderError:
    return RunFolderError(f"{FILE} cannot be used: {why}", hint="judge again, or remove it and rebuild: harness report")


def text(content: Any) -> str:
    """JSON with sorted keys; dataclasses as objects, infinite numbers as words. Not a number is a bug."""
    plain = _plain(content)
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(name): _plain(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(content) for content in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value
