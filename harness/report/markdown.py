"""`summary.md`: the first screen of the report and its table of points, for a merge request or a job summary."""

from __future__ import annotations

from collections.abc import Iterable

from harness.report.gate import markdown as gates
from harness.report.markdown_text import bullets as _list
from harness.report.markdown_text import fenced as _fenced
from harness.report.markdown_text import plain as _plain
from harness.report.markdown_text import table as _table
from harness.report.shown import Cell, Column, PointsTable, Section, View


def summary(view: View) -> bytes:
    """The summary in UTF-8."""
    parts = [
        *(gates.blocks(view.gate) if view.gate is not None else ()),
        f"# {_plain(view.title)}",
        _plain(view.sentence),
        _plain(view.measured_at),
        f"**{view.verdict.word}**: {_plain(view.verdict.sentence)}",
        _list(view.verdict.reasons),
        *_answers(view),
        "## What came out",
        _list(view.results),
        f"Objectives: {_plain(view.objectives.summary)}",
        _list(view.objectives.titles),
        _list(f"every request: {bound}" for bound in view.objectives.request_bounds),
        _list(f"Note: {note}" for note in view.notes),
        "## Points",
        points(view.table),
        _list(f"[{number}] {text}" for number, text in enumerate(view.table.footnotes, start=1)),
        _plain(view.table.note),
        *_sections(view.details),
        *_findings(view),
        *_sections(view.beside),
        "## Telemetry",
        _list(f"{name}: {value}" for name, value in view.telemetry.rows),
        "## To measure it again",
        _fenced(view.command),
    ]
    return ("\n\n".join(part for part in parts if part) + "\n").encode("utf-8")


def points(table: PointsTable) -> str:
    """The table of points."""
    heads = ["Workload", table.load_heading, "Validity", *map(_heading, table.columns)]
    rows = [[row.workload, row.load, row.validity, *map(_cell, row.cells)] for row in table.rows]
    return _table(heads, rows, ["---", "--:", "---", *["--:"] * len(table.columns)])


def _findings(view: View) -> list[str]:
    if not view.findings:
        return []
    blocks = ["## What speaks against points"]
    for finding in view.findings:
        blocks.append(f"**{finding.severity}**, {_plain(finding.title)}. What to do: {_plain(finding.advice)}")
        blocks.append(_list(f"{point}: {message}" for point, message in finding.sightings))
    return blocks


def _answers(view: View) -> list[str]:
    blocks = []
    for one in view.answer:
        rule = ["---", *["---"] * (len(one.table.headers) - 1)]
        blocks += [
            f"## {_plain(one.title)}: {_plain(one.headline)}",
            _list([*one.evidence, *filter(None, [one.margin])]),
        ]
        blocks += [_table(list(one.table.headers), [list(row) for row in one.table.rows], rule), _plain(one.note)]
        blocks += [
            _list(f"Warning: {text}" for text in one.warnings),
            _list(f"Next: {text}" for text in one.next_steps),
        ]
        blocks += [_fenced(one.command)] if one.command else []
    return blocks


def _sections(sections: Iterable[Section]) -> list[str]:
    blocks = []
    for section in sections:
        blocks += [f"## {_plain(section.title)}", _list(section.texts)]
        for title, table in section.tables:
            rule = ["---", *["--:"] * (len(table.headers) - 1)]
            blocks += [_plain(title), _table(list(table.headers), [list(row) for row in table.rows], rule)]
    return blocks


def _heading(column: Column) -> str:
    group = "" if column.group in ("", "Errors", "Within bounds") else f"{column.group} "
    label = "error ratio" if column.group == "Errors" else column.label
    return f"{group}{label}{f' ({column.unit})' if column.unit else ''}"


def _cell(cell: Cell) -> str:
    note = f" [{cell.footnote}]" if cell.footnote else ""
    joined = f"{cell.text} {cell.detail}" if cell.kind == "missing" else f"{cell.text} ({cell.detail})"
    beside = f"; {cell.beside}" if cell.beside else ""
    return (joined if cell.detail else cell.text) + beside + note
