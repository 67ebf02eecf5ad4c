"""The forest plot of a gate: one row per metric, its interval against the band that its margin tolerates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from harness.report.figures.style import BAD, DOUBT, GOOD, INK, MUTED, PAPER, SHADE, new_figure
from harness.report.gate.shown import Forest, ForestPanel, ForestRow

ROW_IN, PANEL_IN = 0.34, 0.75
BAND = 0.36  # half the height of a row's band
LOOKS = {"PASS": (GOOD, "o"), "FAIL": (BAD, "X"), "INCONCLUSIVE": (DOUBT, "D")}
TICKS_AT_MOST = 9
FAR = 6  # a ratio of the axis' ends from which evenly spaced ticks would crowd at its right
DOUBLINGS = (1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1e3, 1e4)
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def draw(content: Forest) -> Figure:
    """One pair of axes per panel, as high as its rows."""
    heights = [ROW_IN * len(panel.rows) + PANEL_IN for panel in content.panels]
    figure = new_figure(sum(heights) + 0.1)
    grid = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, panel in zip(grid, content.panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def _draw_panel(axes: Axes, panel: ForestPanel) -> None:
    ratio = panel.axis == "ratio"
    low, high = _range(panel)
    if ratio:
        axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(panel.rows) - 0.5, -0.5)
    for y, row in enumerate(panel.rows):
        _draw_row(axes, y, row, low, high)
    axes.axvline(1.0 if ratio else 0.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlabel(panel.x_label)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(low, high, ratio)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}" if ratio else f"{x:+.3g}" if x else "0"))
    axes.set_yticks(range(len(panel.rows)), [row.label for row in panel.rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    _write_beside(axes, panel)


def _draw_row(axes: Axes, y: int, row: ForestRow, low: float, high: float) -> None:
    """The band first, then the interval over it; an end outside of the axis is an arrow."""
    if row.tolerated_high is not None:
        left = low if row.tolerated_low is None else row.tolerated_low
        axes.add_patch(Rectangle((left, y - BAND), row.tolerated_high - left, 2 * BAND, facecolor=SHADE, zorder=0))
        for edge in (row.tolerated_low, row.tolerated_high):
            if edge is not None:
                axes.vlines(edge, y - BAND, y + BAND, color=INK, linewidth=1.4, zorder=2)
    colour, marker = LOOKS.get(row.status, (MUTED, "o")) if row.gating else (MUTED, "o")
    start, end = _inside(row.low, low, high), _inside(row.high, low, high)
    axes.hlines(y, start, end, color=colour, linewidth=2.0 if row.gating else 1.2, zorder=3)
    for value, at, arrow in ((row.low, start, "<"), (row.high, end, ">")):
        beyond = value != at
        axes.plot([at], [y], marker=arrow if beyond else "|", color=colour, markersize=7, clip_on=False, zorder=4)
    hollow = row.status == "INCONCLUSIVE" or not row.gating
    if low <= row.effect <= high:
        axes.plot(
            [row.effect], [y], marker=marker, color=colour, markerfacecolor=PAPER if hollow else colour,
            markersize=7.5 if row.gating else 5.5, markeredgewidth=1.4, zorder=5,
        )  # fmt: skip


def _write_beside(axes: Axes, panel: ForestPanel) -> None:
    """The verdict and the numbers at the right end of each row."""
    beside = axes.twinx()
    beside.set_ylim(axes.get_ylim())
    words = [f"{row.status if row.gating else 'information'}  {row.text}" for row in panel.rows]
    beside.set_yticks(range(len(panel.rows)), words)
    beside.tick_params(axis="y", length=0)
    beside.grid(visible=False)


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _range(panel: ForestPanel) -> tuple[float, float]:
    """The ends of the axis: around no difference, the margins, and all that is finite."""
    ratio = panel.axis == "ratio"
    seen = [1.0] if ratio else [0.0]
    for row in panel.rows:
        seen += [v for v in (row.effect, row.low, row.high) if math.isfinite(v) and (v > 0 or not ratio)]
        seen += [v for v in (row.tolerated_low, row.tolerated_high) if v is not None]
    low, high = min(seen), max(seen)
    if ratio:
        room = max((high / low) ** 0.08, 1.005)
        return low / room, high * room
    room = max(0.08 * (high - low), 0.1)
    return low - room, high + room


def _ticks(low: float, high: float, ratio: bool) -> Sequence[float]:
    """Round numbers between the ends: evenly spaced, or doublings on an axis of FAR and more."""
    if ratio and high / low > FAR:
        return [tick for tick in DOUBLINGS if low <= tick <= high]
    step = next((step for step in STEPS if (high - low) / step <= TICKS_AT_MOST), high - low)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
