"""The report as one HTML file: no network, no script, the same bytes for the same view.

Everything from outside is escaped by the templates, all but the drawings and the style sheet, which are made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report.figures.gallery import draw
from harness.report.shown import Column, View
from harness.resources import shipped

TEMPLATES = ("reports", "templates")


@dataclass(frozen=True)
class _ColumnGroup:
    """Neighbouring columns under one heading."""

    name: str
    columns: tuple[Column, ...]


def html(view: View) -> bytes:
    """The page in UTF-8."""
    folder = shipped(*TEMPLATES)
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["groupby_run"] = _by_group
    drawn = [(figure, draw(figure)) for figure in view.figures]
    text = environment.get_template("report.html.j2").render(
        view=view,
        css=Markup((folder / "report.css").read_text(encoding="utf-8")),
        answers=[(one, None if (svg := draw(one.figure)) is None else Markup(svg)) for one in view.answer],
        figures=[(figure, None if svg is None else Markup(svg)) for figure, svg in drawn],
        machine_json=Markup(embeddable(view.machine_json)),
    )
    return text.encode("utf-8")


def embeddable(json_text: str) -> str:
    """JSON that cannot end the script element it stands in: no `<` is left, also none of `<!--`."""
    return json_text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _by_group(columns: Iterable[Column]) -> list[_ColumnGroup]:
    return [_ColumnGroup(name, tuple(group)) for name, group in groupby(columns, key=lambda column: column.group)]
