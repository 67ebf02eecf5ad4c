"""The table of points for a terminal: as many columns as fit its width, the most wanted first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.report.shown import AnswerView, PointsTable, TextTable, View

# (group, label) → heading, the most wanted first
WANTED = {
    ("", "n"): "n",
    ("TTFT", "p50"): "TTFT",
    ("TTFT", "p95"): "TTFT",
    ("Requests", "served"): "served",
    ("Throughput", "output tokens"): "output\ntokens",
    ("Errors", "ratio"): "errors",
    ("Request latency", "p95"): "latency",
    ("Schedule lag", "p99"): "lag",
    ("ITL", "p50"): "ITL",
    ("TPOT", "p50"): "TPOT",
    ("Throughput", "requests"): "requests",
    ("Within bounds", "attainment"): "attained",
    ("Request latency", "p50"): "latency",
    ("TTFT", "p99"): "TTFT",
    ("Throughput", "per user p50"): "per\nuser",
}
STYLES = {"VALID": "green", "SUSPECT": "yellow", "INVALID": "bold red"}


@dataclass(frozen=True)
class _Points:
    """The table of points, which drops its least wanted columns until it fits."""

    points: PointsTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wanted = list(WANTED)
        drawn = _drawn(self.points, wanted)
        while (
            len(wanted) > 1 and console.measure(drawn, options=options.update(width=1000)).maximum > options.max_width
        ):
            wanted.pop()
            drawn = _drawn(self.points, wanted)
        yield drawn


def table(view: View) -> RenderableType:
    """The points, then the verdict, the objectives and the notes."""
    lines = [f"{view.verdict.word}: {view.verdict.sentence}", *(f"  {reason}" for reason in view.verdict.reasons)]
    lines += [f"Objectives: {view.objectives.summary}", *(f"Note: {note}" for note in view.notes)]
    return Group(_Points(view.table), *(Text(line) for line in lines))


def answer(view: AnswerView) -> RenderableType:
    """The answer of a sweep to one workload: the table of configurations, then what it says."""
    lines = [f"{view.title}: {view.headline}", *view.evidence, view.margin, view.note]
    lines += [f"Warning: {warning}" for warning in view.warnings]
    lines += [f"Next: {step}" for step in view.next_steps]
    lines += [f"To deploy it: {view.command}"] if view.command else []
    rows = _aligned(view.table)
    return Group(Text(""), *rows, Text(lines[0], style="bold"), *(Text(line) for line in lines[1:] if line))


def _aligned(table: TextTable) -> list[Text]:
    """The configurations, one line each whatever the width: their long words (the result) come last."""
    last = ("result",)
    short = [n for n, header in enumerate(table.headers) if header not in (*last, "bound by")]
    order = [*short, *(n for n, header in enumerate(table.headers) if header in last)]
    rows = [table.headers, *table.rows]
    widths = [max(len(row[n]) for row in rows) for n in short]
    drawn = []
    for number, row in enumerate(rows):
        cells = [row[n].ljust(width) for n, width in zip(short, widths, strict=True)]
        style = "bold" if number == 0 or "recommended" in row else ""
        drawn.append(Text("  ".join([*cells, *(row[n] for n in order[len(short) :])]), style=style, no_wrap=True))
    return drawn


def _drawn(points: PointsTable, wanted: Sequence[tuple[str, str]]) -> Table:
    chosen = [number for number, c in enumerate(points.columns) if (c.group, c.label) in wanted]
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("workload", no_wrap=True)
    drawn.add_column(points.load_heading.lower().replace(" ", "\n"), justify="right", no_wrap=True)
    drawn.add_column("validity", no_wrap=True)
    for number in chosen:
        column = points.columns[number]
        label = column.label if column.label.startswith("p") and column.label[1:].isdigit() else ""
        below = f"{label} {column.unit}".strip()
        heading = WANTED[column.group, column.label]
        drawn.add_column(f"{heading}\n{below}" if below else heading, justify="right", no_wrap=True)
    for row in points.rows:
        validity = Text(row.validity, style=STYLES.get(row.validity, ""))
        drawn.add_row(escape(row.workload), escape(row.load), validity, *(escape(row.cells[n].text) for n in chosen))
    return drawn
