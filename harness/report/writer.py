"""The rim of the report: reads a run folder into a view, writes every format into the folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from harness.analysis.answer import Answer
from harness.analysis.sized import SizeAnswer
from harness.errors import RunFolderError
from harness.gate import verdict_json
from harness.metrics.results import Assessment
from harness.records import calibration, foreign
from harness.records.store import RunFolder
from harness.report import csv
from harness.report.cross_check import FILE as CROSS_CHECK
from harness.report.formats import FORMATS, REQUESTS_CSV
from harness.report.gate import view as gate_view
from harness.report.gate.shown import GateView
from harness.report.shown import View
from harness.report.view import Beside, build
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict


def view_of(
    folder: RunFolder, assessment: Assessment, answer: Answer | None = None, size: SizeAnswer | None = None
) -> View:
    """The view of a run folder; `answer`: of a sweep, `size`: of a search.

    Raises RunFolderError or ScenarioError when it cannot be read.
    """
    manifest = folder.manifest()
    scenario = read_strict(manifest.scenario_text, Scenario, Path(manifest.scenario_file))
    pa.default_memory_pool().release_unused()  # what assessing took is needed for the records, and what reading
    requests = folder.requests()
    pa.default_memory_pool().release_unused()  # took besides the table for the arithmetic
    beside = replace(_beside(folder), answer=answer, size=size)
    view = build(manifest, scenario, assessment, requests, folder.telemetry(), beside)
    return replace(view, gate=_gate(folder))


def _gate(folder: RunFolder) -> GateView | None:
    """The gate that has judged this run, if one has."""
    text = _text(folder.path / verdict_json.FILE)
    verdict = None if text is None else verdict_json.read(text)
    return None if verdict is None else gate_view.build(verdict)


def _beside(folder: RunFolder) -> Beside:
    profile = _text(folder.path / calibration.FILE)
    return Beside(
        calibration=None if profile is None else calibration.from_json(profile),
        foreign=foreign.read(folder),
        cross_check=_text(folder.path / CROSS_CHECK),
    )


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def write_all(folder: RunFolder, view: View) -> list[Path]:
    """Write report.html, summary.md and requests.csv into the folder; returns their paths.

    Raises RunFolderError when one cannot be written.
    """
    try:
        written = [_replace(folder.path / name, make(view)) for name, make in FORMATS.items()]
        return [*written, csv.write(folder, folder.path / REQUESTS_CSV)]
    except OSError as error:
        raise RunFolderError(
            f"cannot write the report into {folder.path}: {error.strerror or error}",
            hint=f"the records are safe: make room, then harness report {folder.path}",
        ) from error


def _replace(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(content)
    os.replace(draft, path)
    return path
