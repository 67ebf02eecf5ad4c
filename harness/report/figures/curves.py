"""Lines through points: throughput against latency, percentiles against load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from harness.report.figures.style import INK, MUTED, draw_line, new_figure
from harness.report.shown import Curves, Limit, Line, Panel

ROW_IN = 2.5
SINGLE_ROW_IN = 3.9
LEGEND_CHARACTERS = 150  # that fit on one line, a handle counts as 8
NEAR = 0.03  # of the width or height of a panel


def draw(content: Curves) -> Figure:
    """One row of panels per row of the content."""
    columns = max(len(row) for row in content.rows)
    several = len(content.rows) > 1
    figure = new_figure(len(content.rows) * ROW_IN + 0.4 if several else SINGLE_ROW_IN)
    grid = figure.subplots(len(content.rows), columns, squeeze=False)
    for number, (row, panels) in enumerate(zip(grid, content.rows, strict=True)):
        for axes, panel in zip(row, panels, strict=True):
            draw_panel(axes, panel)
            if several and number < len(content.rows) - 1:
                axes.set_xlabel("")
    legend(figure, grid.flat)
    return figure


def draw_panel(axes: Axes, panel: Panel) -> None:
    """One panel with its lines, objectives and labels."""
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if not panel.lines:
        axes.text(0.5, 0.5, panel.empty, ha="center", va="center", transform=axes.transAxes, color=MUTED)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    for line in panel.lines:
        draw_line(axes, line)
    scale(axes, panel)
    for limit in panel.limits:
        _draw_limit(axes, limit)
    for number, line in enumerate(panel.lines):
        _write_marks(axes, line, below=number % 2 == 1)


def _draw_limit(axes: Axes, limit: Limit) -> None:
    """A dashed line; one far above the data is only named, so that it does not flatten the curves."""
    low, high = axes.get_ylim()
    if limit.y > 1.5 * high:
        axes.text(0.02, 0.98, f"{limit.label} ↑", ha="left", va="top", fontsize=8, transform=axes.transAxes)
        return
    axes.axhline(limit.y, color=INK, linewidth=1.0, linestyle=(0, (6, 3)))
    axes.set_ylim(low, max(high, 1.12 * limit.y))
    axes.annotate(
        limit.label, (0, limit.y), xycoords=("axes fraction", "data"), xytext=(3, 3), textcoords="offset points",
        fontsize=8,
    )  # fmt: skip


def _write_marks(axes: Axes, line: Line, *, below: bool) -> None:
    """The marks beside the markers; marks of markers that (nearly) cover each other are written together."""
    groups: list[tuple[float, float, list[str]]] = []
    for x, y, mark in zip(line.x, line.y, line.marks, strict=False):
        at = axes.transLimits.transform(axes.transScale.transform((x, y)))
        if groups and abs(at[0] - groups[-1][0]) < NEAR and abs(at[1] - groups[-1][1]) < NEAR:
            groups[-1][2].append(mark)
        else:
            groups.append((at[0], at[1], [mark]))
    for x, y, marks in groups:
        offset = (-4, -12) if below else (5, 5)
        axes.annotate(
            ", ".join(marks), (x, y), xycoords="axes fraction", xytext=offset, textcoords="offset points", fontsize=8,
            ha="right" if below else "left",
        )  # fmt: skip


def scale(axes: Axes, panel: Panel) -> None:
    """Scales and ticks, as plain numbers."""
    if panel.log_y:
        axes.set_yscale("log")
        _plain_log_ticks(axes.yaxis)
        axes.margins(y=0.15)
    else:
        axes.margins(y=0.1)
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.08 * axes.dataLim.y1))  # also where all values are nearly the same
    if panel.log_x and panel.lines:  # matplotlib complains about a logarithm of nothing
        axes.set_xscale("log")
        _plain_log_ticks(axes.xaxis)
    elif not panel.x_ticks:
        axes.margins(x=0.08)
        axes.set_xlim(left=0)
    if panel.x_ticks:
        axes.xaxis.set_major_locator(FixedLocator(panel.x_ticks))
        axes.xaxis.set_major_formatter(_PLAIN)
        axes.xaxis.set_minor_locator(NullLocator())


_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def _plain_log_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(_PLAIN)
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, all_axes: Iterable[Axes]) -> None:
    """One legend for all panels above them; each label once."""
    handles: dict[str, Any] = {}
    for axes in all_axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    columns = max(1, int(LEGEND_CHARACTERS / (max(map(len, handles), default=0) + 8)))
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside upper left",
            ncols=columns,
            handlelength=3.2,
            borderaxespad=0.2,
        )
