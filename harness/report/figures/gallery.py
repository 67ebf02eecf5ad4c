"""Which content is drawn by which module: one explicit table. A new kind of figure is one entry and one module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from harness.report import shown
from harness.report.figures import curves, distributions, forest, heat_map, outcomes, pairs, timeline
from harness.report.figures.style import settings
from harness.report.figures.svg import inline
from harness.report.gate import shown as gate

DRAW: Mapping[type[Any], Callable[[Any], Figure]] = {
    shown.Curves: curves.draw,
    shown.Distributions: distributions.draw,
    shown.HeatMaps: heat_map.draw,
    shown.Timeline: timeline.draw,
    shown.Bars: outcomes.draw,
    gate.Forest: forest.draw,
    gate.Pairs: pairs.draw,
}


def draw(figure: shown.FigureView) -> str | None:
    """The figure as an inline SVG element; None when it has no content."""
    if figure.content is None:
        return None
    with settings(figure.key):
        drawn = DRAW[type(figure.content)](figure.content)
        return inline(drawn, figure.key, figure.title, figure.description)
