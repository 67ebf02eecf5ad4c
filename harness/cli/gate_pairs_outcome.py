"""The end of a campaign of pairs, now or when its folder is looked at again: the verdict, its files, the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Ending, UsageError

if TYPE_CHECKING:
    from rich.console import Console

TESTBED = "testbed.json"


def judge(
    path: Path,
    console: Console,
    *,
    testbed: Mapping[str, Any] | None = None,
    output: Path | None = None,
    junit: Path | None = None,
    strict: bool = False,
) -> Ending:
    """Judge the pairs in this run folder, write and print the verdict; returns how it ended.

    `testbed`: of `harness gate aa`; once given it stays in the run folder, for later reports.
    """
    from harness.assess.pair_verdict import verdict_of
    from harness.cli.gate_outcome import conclude
    from harness.records.store import RunFolder

    folder = RunFolder.open(path)
    if testbed is not None:
        folder.write_text(TESTBED, json.dumps(testbed, indent=2, sort_keys=True) + "\n")
    elif (path / TESTBED).is_file():
        testbed = read_testbed(path / TESTBED)
    verdict = verdict_of(folder, testbed)
    return conclude(verdict, path, console, output=output, junit=junit, strict=strict)


def read_testbed(path: Path) -> dict[str, Any]:
    """What `gate aa` found on this test bed. Raises UsageError when the file is none of its own."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no testbed.json: {error}") from error
    if not isinstance(content, dict) or "pairs" not in content:
        raise UsageError(f"{path} is no testbed.json", hint="`harness gate aa SCENARIO` writes one in its run folder")
    return content
