"""The timeline: strips over one time axis, each repetition a band behind them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from harness.report.figures.style import DASHES, MUTED, SERIES, SHADE, new_figure
from harness.report.shown import Band, Timeline, Track

STRIP_IN = 0.92
DOTTED_UP_TO = 60  # values of a line
LETTER_SHARE = 0.008  # width of a letter, as a share of the strip


def draw(content: Timeline) -> Figure:
    """One strip per track."""
    figure = new_figure(STRIP_IN * len(content.tracks) + 0.9)
    strips = figure.subplots(len(content.tracks), 1, sharex=True, squeeze=False)[:, 0]
    for axes, track in zip(strips, content.tracks, strict=True):
        _shade(axes, content.bands)
        _draw_track(axes, track)
    _label_bands(strips[0], content.bands)
    strips[-1].set_xlabel("seconds since the run began")
    strips[-1].set_xlim(0, max((band.end_s for band in content.bands), default=1.0))
    figure.align_ylabels(strips)
    return figure


def _shade(axes: Axes, bands: Sequence[Band]) -> None:
    """Warm-ups and drains as one path each: one path per band would be most of the file."""
    warm_ups = [(b.start_s, b.end_s if b.window_start_s is None else b.window_start_s) for b in bands]
    drains = [(b.window_end_s, b.end_s) for b in bands if b.window_end_s is not None]
    across = axes.get_xaxis_transform()
    axes.add_patch(PathPatch(_boxes(warm_ups), facecolor=SHADE, edgecolor="none", transform=across))
    axes.add_patch(
        PathPatch(_boxes(drains), facecolor="none", edgecolor=MUTED, hatch="////", lw=0, alpha=0.6, transform=across)
    )
    starts = Path.make_compound_path(*(Path([(b.start_s, 0), (b.start_s, 1)]) for b in bands))
    axes.add_patch(PathPatch(starts, facecolor="none", edgecolor=MUTED, linewidth=0.6, transform=across))


def _boxes(spans: Iterable[tuple[float, float]]) -> Path:
    """Boxes of full height over these spans as one path."""
    return Path.make_compound_path(
        *(Path([(x, 0), (x, 1), (end, 1), (end, 0), (x, 0)], closed=True) for x, end in spans if end > x)
    )


def _draw_track(axes: Axes, track: Track) -> None:
    for line in track.lines:
        number = line.style % len(SERIES)
        marker = "." if len(line.x) <= DOTTED_UP_TO else ""  # a sample alone between two gaps is no line
        axes.plot(
            line.x,
            line.y,
            color=SERIES[number],
            linestyle=DASHES[number],
            lw=1.3,
            marker=marker,
            ms=3.5,
            label=line.label,
        )
    axes.set_ylabel(track.y_label, rotation=0, ha="right", va="center", labelpad=8)
    highest = max((y for line in track.lines for y in line.y if not math.isnan(y)), default=0.0)
    axes.set_ylim(0, highest * 1.12 if highest > 0 else 1.0)
    axes.locator_params(axis="y", nbins=3)
    axes.grid(visible=False, axis="x")
    if track.legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), handlelength=2.2, borderaxespad=0.2)


def _label_bands(axes: Axes, bands: Sequence[Band]) -> None:
    """The point's name above its first band, unless the name before it is still being read there."""
    end, free_from = max((band.end_s for band in bands), default=1.0), 0.0
    for label, start in _firsts(bands).items():
        if start >= free_from:
            axes.annotate(
                label, (start, 1.0), xycoords=("data", "axes fraction"), xytext=(2, 3), textcoords="offset points",
                fontsize=8,
            )  # fmt: skip
            free_from = start + end * LETTER_SHARE * (max(map(len, label.split("\n"))) + 1)


def _firsts(bands: Sequence[Band]) -> dict[str, float]:
    """Label → start of its first band, in order of time."""
    firsts: dict[str, float] = {}
    for band in bands:
        firsts.setdefault(band.label, band.start_s)
    return firsts
