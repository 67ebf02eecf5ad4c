"""What the figure of cumulative distributions shows: TTFT, and the gaps between chunks, of every repetition.

A curve rises to 1 only where every request of the cohort reached the event; failed ones keep it below. Repetitions are
drawn one by one, never pooled. The curves are thinned to what an eye can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.metrics.curves import Curve
from harness.report.curves import PERCENTILES, SHORT_TITLES, figure_table, overload_note
from harness.report.numbers import on_screen
from harness.report.places import Place, overload, series_of
from harness.report.recorded import REPETITIONS_DRAWN, PointKey, Recorded
from harness.report.shown import Distributions, FigureView, Line, Panel

STEPS_DRAWN = 60


def drawn_metrics(found: Sequence[Place]) -> tuple[str, str]:
    """The two metrics whose distributions are shown: TTFT, and ITL where chunks are tokens."""
    tokens = any(place.value("inter_token_latency", "p50").value is not None for place in found)
    return "time_to_first_token", "inter_token_latency" if tokens else "inter_chunk_latency"


def distributions(found: Sequence[Place], records: Mapping[PointKey, Recorded]) -> FigureView:
    """Cumulative distributions of TTFT (left) and of the gaps between chunks (right), one row per series."""
    metrics = drawn_metrics(found)
    rows = tuple(
        tuple(_panel(name, metric, series, records) for metric in metrics) for name, series in series_of(found).items()
    )
    drawn = any(panel.lines for row in rows for panel in row)
    return FigureView(
        key="distributions",
        title=f"Cumulative distribution of TTFT and {SHORT_TITLES[metrics[1]]}",
        description="Share of requests (left) or of gaps between chunks (right) that took at most the time on the "
        "horizontal axis, which is logarithmic. One line per load level and repetition, one row per workload.",
        caption=f"{_repetition_note(found)}A curve that ends below 1 has requests that failed or never finished."
        f"{overload_note(found)}"
        if drawn
        else "Not drawn: no request of any window received a token.",
        content=Distributions(rows) if drawn else None,
        table=figure_table(found, tuple((metric, p) for metric in metrics for p in PERCENTILES)),
    )


def _panel(name: str, metric: str, series: Sequence[Place], records: Mapping[PointKey, Recorded]) -> Panel:
    lines = [
        _line(place, style, curve)
        for style, place in enumerate(series)
        for curve in (() if overload(place) else records[place.key].curves.get(metric, ()))
    ]
    return Panel(
        title=f"{name}: {SHORT_TITLES[metric]}",
        x_label=f"{SHORT_TITLES[metric]} (ms)",
        y_label="share of requests" if metric == "time_to_first_token" else "share of gaps",
        lines=tuple(lines),
        log_x=True,
        empty="no request received a token",
    )


def _line(place: Place, style: int, curve: Curve) -> Line:
    """The curve thinned out evenly; its first and last step stay."""
    last = curve.values.size - 1
    steps = min(STEPS_DRAWN, last + 1)
    picked = sorted({round(step * last / max(steps - 1, 1)) for step in range(steps)})
    x = tuple(on_screen(float(curve.values[at]), curve.unit) for at in picked)
    return Line(place.load_label, x, tuple(float(curve.shares[at]) for at in picked), style)


def _repetition_note(found: Sequence[Place]) -> str:
    planned = max((place.point.repetitions for place in found), default=1)
    if planned == 1:
        return ""
    if planned <= REPETITIONS_DRAWN:
        return "One line per repetition. "
    return f"One line for each of the first {REPETITIONS_DRAWN} repetitions. "
