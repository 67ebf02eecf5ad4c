"""Failed requests as stacked bars, each outcome with its own colour and hatch."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.figures.style import HATCHES, PAPER, SERIES, new_figure
from harness.report.shown import Bars

BAR_IN = 0.3


def draw(content: Bars) -> Figure:
    """One horizontal bar per label, the first on top."""
    figure = new_figure(1.1 + BAR_IN * len(content.labels))
    axes = figure.subplots()
    at = list(range(len(content.labels)))
    left = [0] * len(content.labels)
    for number, kind in enumerate(content.kinds):
        counts = [row[number] for row in content.counts]
        axes.barh(
            at, counts, left=left, height=0.7, label=kind, color=SERIES[number % len(SERIES)],
            hatch=HATCHES[number % len(HATCHES)], edgecolor=PAPER, linewidth=0.8,
        )  # fmt: skip
        left = [sum(pair) for pair in zip(left, counts, strict=True)]
    for y, total in zip(at, left, strict=True):
        axes.annotate(str(total), (total, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_yticks(at, content.labels)
    axes.invert_yaxis()
    axes.set_xlabel(content.x_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.06)
    figure.legend(loc="outside upper left", ncols=len(content.kinds), handlelength=2.4)
    return figure
