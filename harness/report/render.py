"""The report as one HTML file: no network, no script, the same bytes for the same view.

Everything from outside is escaped by the templates, all but the drawings and the style sheet, which are made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report.figures.gallery import draw
from harness.report.gate.shown import GateView
from harness.report.shown import Column, FigureView, View
from harness.resources import shipped

TEMPLATES = ("reports", "templates")


@dataclass(frozen=True)
class _ColumnGroup:
    """Neighbouring columns under one heading."""

    name: str
    columns: tuple[Column, ...]


def html(view: View) -> bytes:
    """The page of a run in UTF-8."""
    return page(
        "report.html.j2",
        machine_json=view.machine_json,
        gate=view.gate,
        view=view,
        answers=[(one, _drawn(one.figure)) for one in view.answer],
        figures=drawn(view.figures),
    )


def page(template: str, *, machine_json: str, gate: GateView | None, **content: Any) -> bytes:
    """One of the templates, filled: the style sheet, the JSON and the section of a gate are the same on every page."""
    folder = shipped(*TEMPLATES)
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["groupby_run"] = _by_group
    text = environment.get_template(template).render(
        css=Markup((folder / "report.css").read_text(encoding="utf-8")),
        machine_json=Markup(embeddable(machine_json)),
        gate=gate,
        gate_figures=drawn(gate.figures) if gate is not None else [],
        **content,
    )
    return text.encode("utf-8")


def drawn(figures: Iterable[FigureView]) -> list[tuple[FigureView, Markup | None]]:
    """Each figure with its drawing, if it has one."""
    return [(figure, _drawn(figure)) for figure in figures]


def _drawn(figure: FigureView) -> Markup | None:
    return None if (svg := draw(figure)) is None else Markup(svg)


def embeddable(json_text: str) -> str:
    """JSON that cannot end the script element it stands in: no `<` is left, also none of `<!--`."""
    return json_text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _by_group(columns: Iterable[Column]) -> list[_ColumnGroup]:
    return [_ColumnGroup(name, tuple(group)) for name, group in groupby(columns, key=lambda column: column.group)]
