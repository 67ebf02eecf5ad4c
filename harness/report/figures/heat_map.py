"""Heat maps: every cell carries its number, a cell without one is hatched and says why."""

from __future__ import annotations

import math

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.report.figures.style import INK, MUTED, PAPER, new_figure
from harness.report.shown import HeatCell, HeatMap, HeatMaps

ROW_IN = 0.62
DARKEST = 0.92  # share of the colour map used, so that both ends stay distinct from page and text


def draw(content: HeatMaps) -> Figure:
    """The maps side by side."""
    rows = max(len(heat_map.cells) for heat_map in content.maps)
    figure = new_figure(1.35 + ROW_IN * rows)
    for axes, heat_map in zip(figure.subplots(1, len(content.maps), squeeze=False)[0], content.maps, strict=True):
        _draw_map(axes, heat_map)
    return figure


def _draw_map(axes: Axes, heat_map: HeatMap) -> None:
    values = [cell.value for row in heat_map.cells for cell in row if cell.value is not None]
    for y, row in enumerate(heat_map.cells):
        for x, cell in enumerate(row):
            _draw_cell(axes, x, y, cell, values)
    axes.set_title(heat_map.title)
    axes.set_xlabel(heat_map.x_label)
    axes.set_ylabel(heat_map.y_label)
    axes.set_xlim(0, len(heat_map.x_ticks))
    axes.set_ylim(0, len(heat_map.y_ticks))
    axes.set_xticks([at + 0.5 for at in range(len(heat_map.x_ticks))], heat_map.x_ticks)
    axes.set_yticks([at + 0.5 for at in range(len(heat_map.y_ticks))], heat_map.y_ticks)
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _draw_cell(axes: Axes, x: int, y: int, cell: HeatCell, values: list[float]) -> None:
    if cell.value is None:
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor="none", edgecolor=MUTED, hatch="///", linewidth=0.8))
        label = {"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": "none"}
        text = cell.text.replace(" requests", "\nrequests")
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=8, color=INK, bbox=label)
        return
    shade = _position(cell.value, values)
    colour = matplotlib.colormaps["Blues"](0.08 + (DARKEST - 0.08) * shade)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=to_hex(colour), edgecolor=PAPER, linewidth=1.5))
    ink = "#ffffff" if shade > 0.55 else "#111111"
    axes.text(x + 0.5, y + 0.5, cell.text, ha="center", va="center", fontsize=9.5, color=ink)


def _position(value: float, values: list[float]) -> float:
    """Where a value stands between the lowest and the highest, 0-1; by ratio where they lie far apart."""
    low, high = min(values), max(values)
    if high == low:
        return 0.3
    if low > 0 and high / low > 10:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)
