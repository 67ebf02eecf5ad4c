"""A baseline as JSON: sorted, stable, and read strictly. A file that cannot be right is one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.gate.baseline import BASELINE_VERSION, Baseline, changed_by_hand
from harness.scenario.strict_yaml import read_strict

RESTORE = "take the file as it was accepted: git checkout -- {}; or move it away and accept runs anew"


def to_json(baseline: Baseline) -> str:
    """The file's text: sorted keys, two spaces, one value per line."""
    return json.dumps(baseline.model_dump(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, path: Path) -> Baseline:
    """The baseline in the file's text; `path` for messages.

    Raises UsageError for what is no JSON, has another version, breaks the schema (with line and field), or was changed
    by hand.
    """
    _require_version(_parsed(text, path), path)
    baseline = read_strict(text, Baseline, path)
    if (where := changed_by_hand(baseline)) is not None:
        raise UsageError(
            f"{path}: {where} was changed after it was accepted: the digest does not fit", hint=RESTORE.format(path)
        )
    return baseline


def json_schema() -> dict[str, Any]:
    """The JSON Schema of baseline files."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Baseline of the Triton LLM harness",
        **Baseline.model_json_schema(),
    }


def schema_text() -> str:
    """The published file, `baselines/baseline.schema.json`."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        said = f"line {error.lineno}, column {error.colno}: is not JSON: {error.msg}"
    except (ValueError, RecursionError) as error:
        said = f"is not JSON: {error}"
    raise UsageError(f"{path}: {said}", hint=RESTORE.format(path))


def _no_number(name: str) -> None:
    """JSON knows no NaN and no infinity; Python's reader does."""
    raise ValueError(f"{name} is no number")


def _require_version(content: Any, path: Path) -> None:
    if not isinstance(content, dict) or "baseline_version" not in content:
        raise UsageError(
            f"{path}: baseline_version is missing: this is no baseline",
            hint="baselines are written by: harness baseline accept",
        )
    if (version := content["baseline_version"]) != BASELINE_VERSION:
        raise UsageError(
            f"{path}: baseline_version is {version!r}, this harness reads {BASELINE_VERSION}",
            hint="use the harness that wrote it, or accept runs anew into another file",
        )
