"""Cumulative distributions as steps."""

from __future__ import annotations

from matplotlib.figure import Figure

from harness.report.figures.curves import legend, scale
from harness.report.figures.style import MUTED, look, new_figure
from harness.report.shown import Distributions

ROW_IN = 2.7


def draw(content: Distributions) -> Figure:
    """One row of panels per row of the content."""
    columns = max(len(row) for row in content.rows)
    figure = new_figure(len(content.rows) * ROW_IN + 0.4)
    grid = figure.subplots(len(content.rows), columns, squeeze=False)
    for row, panels in zip(grid, content.rows, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            axes.set_title(panel.title)
            axes.set_xlabel(panel.x_label)
            axes.set_ylabel(panel.y_label)
            for line in panel.lines:
                style = look(line.style)
                step = max(1, len(line.x) // 4)
                axes.step(line.x, line.y, where="post", label=line.label, markevery=step, markersize=4, lw=1.2, **style)
            if panel.lines:
                scale(axes, panel)
            else:
                axes.text(0.5, 0.5, panel.empty, ha="center", va="center", transform=axes.transAxes, color=MUTED)
            axes.set_ylim(0, 1.02)
    legend(figure, grid.flat)
    return figure
