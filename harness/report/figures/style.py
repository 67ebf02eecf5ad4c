"""How figures look: Okabe–Ito colours, each with its own marker and dash, so that colour alone never tells lines apart.

Colours are stand-ins: `svg.inline` turns them into CSS variables, so that one drawing suits light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.shown import Line

INK, MUTED, GRID, PAPER, SHADE = "#010101", "#010102", "#010103", "#010104", "#010105"
GOOD, DOUBT, BAD = "#010106", "#010107", "#010108"  # of a verdict
SERIES = tuple(f"#0102{number:02x}" for number in range(6))
# stand-in → CSS variable of the page's style sheet
VARIABLES: Mapping[str, str] = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    SHADE: "--shade",
    GOOD: "--good",
    DOUBT: "--doubt",
    BAD: "--bad",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES)},
}
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.4, 1.2, 1.4)), (0, (3, 1)), (0, (8, 2)))
HATCHES = ("//", "\\\\", "xx", "--", "||", "++")  # lines only: dots and circles take 100 kB each
WIDTH_IN = 11.4

_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "path.simplify": True,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@contextmanager
def settings(salt: str) -> Iterator[None]:
    """The settings in force while a figure is drawn and written. `salt` makes its ids repeatable."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_SETTINGS, "svg.hashsalt": salt, "backend": "svg"}):
        yield


def new_figure(height_in: float) -> Figure:
    """An empty figure of the common width."""
    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def look(style: int) -> dict[str, Any]:
    """Colour, marker and dash of the n-th line of a panel: when the colours come round, they get other markers."""
    number, turn = style % len(SERIES), style // len(SERIES)
    other = (number + turn) % len(SERIES)
    return {"color": SERIES[number], "marker": MARKERS[other], "linestyle": DASHES[other]}


def draw_line(axes: Axes, line: Line) -> None:
    """A line with markers, error bars where it has them, and hollow markers where a point is doubtful."""
    colour = look(line.style)["color"]
    if line.faint:
        axes.plot(line.x, line.y, label=line.label, color=colour, linewidth=1.0, linestyle=(0, (1, 2)))
        return
    for x, low, high in zip(line.x, line.low, line.high, strict=False):
        if high > low:
            axes.vlines(x, low, high, color=colour, linewidth=1.1, alpha=0.8)
    axes.plot(line.x, line.y, label=line.label, markeredgewidth=1.3, **look(line.style))
    for x, y, doubtful in zip(line.x, line.y, line.doubtful, strict=False):
        if doubtful:
            axes.plot([x], [y], marker=look(line.style)["marker"], color=colour, markerfacecolor=PAPER)
