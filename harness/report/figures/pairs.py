"""The pairs of a gate: two dots per pair joined by a line, the arm that was measured first on the left."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.figures.curves import legend
from harness.report.figures.style import MUTED, PAPER, SERIES, new_figure
from harness.report.gate.shown import PairDots, Pairs, PairsPanel

ROW_IN = 2.15
APART = 0.17  # of the dots of a pair, to each side
LABELLED_UP_TO = 20  # pairs


def draw(content: Pairs) -> Figure:
    """One panel per metric."""
    columns = max(len(row) for row in content.rows)
    figure = new_figure(ROW_IN * len(content.rows) + 0.4)
    grid = figure.subplots(len(content.rows), columns, squeeze=False)
    for number, axes in enumerate(grid.flat):
        row, column = divmod(number, columns)
        if column < len(content.rows[row]):
            _draw_panel(axes, content.rows[row][column])
        else:
            axes.set_axis_off()
    legend(figure, grid.flat)
    return figure


def _draw_panel(axes: Axes, panel: PairsPanel) -> None:
    for pair in panel.pairs:
        if pair.baseline is not None and pair.candidate is not None:
            axes.plot(_places(pair), [pair.baseline, pair.candidate], color=MUTED, linewidth=1.0, zorder=1)
    _dots(axes, [(_places(p)[0], p.baseline) for p in panel.pairs], "baseline", SERIES[0], "o", filled=False)
    _dots(axes, [(_places(p)[1], p.candidate) for p in panel.pairs], "candidate", SERIES[1], "s", filled=True)
    numbers = [pair.number for pair in panel.pairs]
    axes.set_title(panel.title)
    axes.set_ylabel(panel.y_label)
    axes.set_xlabel(panel.x_label)
    axes.set_xticks(numbers if len(numbers) <= LABELLED_UP_TO else numbers[:: len(numbers) // LABELLED_UP_TO + 1])
    axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
    axes.margins(y=0.15)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.locator_params(axis="y", nbins=5)
    axes.grid(visible=False, axis="x")


def _dots(
    axes: Axes, places: Sequence[tuple[float, float | None]], label: str, colour: str, marker: str, *, filled: bool
) -> None:
    known = [(x, y) for x, y in places if y is not None]
    if known:
        x, y = zip(*known, strict=True)
        face = colour if filled else PAPER
        axes.plot(x, y, linestyle="none", marker=marker, color=colour, markerfacecolor=face, markersize=5.5,
                  markeredgewidth=1.4, label=label, zorder=2)  # fmt: skip


def _places(pair: PairDots) -> tuple[float, float]:
    """x of the baseline and of the candidate. Where the order is not known the baseline stands left."""
    side = -1 if pair.candidate_first else 1
    return pair.number - side * APART, pair.number + side * APART
