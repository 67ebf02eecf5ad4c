"""The rim: writes every format of a gate's verdict into a folder, each file whole or not at all."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from harness.errors import RunFolderError
from harness.gate import verdict_json
from harness.gate.verdict import Verdict
from harness.report import markdown, render
from harness.report.gate import junit, openmetrics, page
from harness.report.gate import markdown as gate_markdown
from harness.report.gate.view import build
from harness.report.shown import View

JUNIT, METRICS, REPORT, SUMMARY = "junit.xml", "metrics.txt", "report.html", "summary.md"


def write(verdict: Verdict, folder: Path, *, strict: bool = False, run: View | None = None) -> dict[str, Path]:
    """Write verdict.json, report.html, summary.md, junit.xml and metrics.txt; returns file name → path.

    `folder` is made if it is not there. What a run's own verdict.json said stays in the new one, under `run`. `run`:
    the view of the run in this folder, whose report then carries the gate on top; without it, the two pages are the
    gate's alone. `strict`: what is not decided is an error in JUnit.
    Raises RunFolderError when a file cannot be written.
    """
    files = {
        verdict_json.FILE: verdict_json.gate_json(verdict, _own(folder)).encode("utf-8"),
        JUNIT: junit.junit(verdict, strict=strict),
        METRICS: openmetrics.openmetrics(verdict),
        **_pages(verdict, run),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _replace(folder / name, content) for name, content in files.items()}
    except OSError as error:
        raise RunFolderError(
            f"cannot write the verdict into {folder}: {error.strerror or error}",
            hint="name another folder with --output DIR",
        ) from error


def _pages(verdict: Verdict, run: View | None) -> dict[str, bytes]:
    view = build(verdict)
    if run is None:
        return {REPORT: page.html(view), SUMMARY: gate_markdown.summary(view)}
    whole = dataclasses.replace(run, gate=view)
    return {REPORT: render.html(whole), SUMMARY: markdown.summary(whole)}


def _own(folder: Path) -> dict[str, object] | None:
    """What the run in this folder said of itself."""
    path = folder / verdict_json.FILE
    return verdict_json.run_part(path.read_text(encoding="utf-8")) if path.exists() else None


def _replace(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(content)
    os.replace(draft, path)
    return path
