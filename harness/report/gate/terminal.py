"""The verdict in a terminal: the sentence, the table of what decided, why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from harness.report.gate.shown import GateRow, GateView

STYLES = {"PASS": "green", "FAIL": "bold red", "INCONCLUSIVE": "yellow"}
OTHER = "bold magenta"  # INVALID, NOT_COMPARABLE: nothing was judged
MOST_DIFFERENCES = 12  # named one by one


def verdict(view: GateView) -> RenderableType:
    """Everything a reader needs, the verdict in the first line."""
    style = STYLES.get(view.status, OTHER)
    word, _, rest = view.sentence.partition(view.status)
    parts: list[RenderableType] = [
        Text.assemble(word, (view.status, style), rest),
        Text(f"  {view.title}"),
        Text(f"  candidate {view.candidate}"),
        Text(f"  baseline  {view.baseline}"),
    ]
    if view.gating:
        parts += [Text(""), *_table(view.gating)]
    parts += [Text(""), *(Text(line) for line in _lines(view))]
    return Group(*parts)


def _lines(view: GateView) -> list[str]:
    lines = [f"{name}: {reason}" for name, reason in view.reasons]
    noticed = [f"{row.name} {row.detectable}" for row in view.gating if row.detectable != "–"]
    if noticed:
        lines.append(f"smallest loss that would have been noticed: {', '.join(noticed)}")
    waiting = [f"{row.name} {row.more_pairs}" for row in view.gating if row.more_pairs]
    if waiting:
        lines.append(f"more {view.counted} that would decide: {', '.join(waiting)}")
    if view.information:
        lines.append("for information: " + "; ".join(_brief(row) for row in view.information))
    lines += _differences(view)
    lines += [f"warning: {text}" for text in view.warnings]
    lines.append(view.how)
    if view.next_step:
        lines.append(f"next: {view.next_step}")
    return lines


def _brief(row: GateRow) -> str:
    return f"{row.name} {row.effect}" if row.effect != "–" else row.name


def _differences(view: GateView) -> list[str]:
    """What differs without being declared; the rest stands in the report."""
    undeclared = [row for row in view.identity if row.status == "undeclared"]
    lines = [f"differs: {r.name}: {r.baseline} → {r.candidate} ({r.mark})" for r in undeclared[:MOST_DIFFERENCES]]
    if len(undeclared) > MOST_DIFFERENCES:
        lines.append(f"differs: {len(undeclared) - MOST_DIFFERENCES} more fields, see the report")
    return lines


HEADINGS = ("metric", "baseline", "candidate", "effect [interval]", "margin", "verdict")


def _table(rows: Sequence[GateRow]) -> list[Text]:
    """One line per metric. Nothing is ever cut to fit: a number without its end would be another number."""
    lines = [HEADINGS, *((r.name, r.baseline, r.candidate, _effect(r), r.margin, r.status) for r in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    styles = ["bold", *(STYLES.get(row.status, OTHER) for row in rows)]
    return [_line(cells, widths, style) for cells, style in zip(lines, styles, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    """Numbers stand right, the name and the verdict left; the verdict is coloured, the headings as a whole."""
    padded = [" " * (width - cell_len(cell)) + cell for cell, width in zip(cells, widths, strict=True)][1:-1]
    start = "  ".join([cells[0] + " " * (widths[0] - cell_len(cells[0])), *padded]) + "  "
    return Text.assemble((start, style if style == "bold" else ""), (cells[-1], style))


def _effect(row: GateRow) -> str:
    return row.effect if row.interval == "–" else f"{row.effect} {row.interval}"
