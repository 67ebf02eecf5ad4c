"""What the figures over points show: throughput against latency, percentiles against load, heat maps."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.catalog import METRICS
from harness.metrics.results import POINT_VALUE, Value
from harness.report.numbers import digits, exactly, on_screen, overloaded, plain, screen_unit, span
from harness.report.places import Place, closed_loop, load_axis, overload, series_of
from harness.report.shown import Curves, FigureView, HeatCell, HeatMap, HeatMaps, Limit, Line, Panel, TextTable

LONG_NAME = 25  # of a series: with it, a title of three in a row takes two lines
PERCENTILES = ("p50", "p90", "p95", "p99")
SHORT_TITLES = {
    "time_to_first_token": "TTFT",
    "inter_token_latency": "ITL",
    "inter_chunk_latency": "inter-chunk latency",
    "time_per_output_token": "TPOT",
    "time_to_first_token_from_send": "TTFT from send",
    "request_latency": "request latency",
    "request_latency_from_send": "request latency from send",
    "output_token_throughput": "output tokens/s",
    "output_token_throughput_per_user": "output tokens/s per user",
}


def best_statistic(found: Sequence[Place], metric: str) -> str:
    """The highest of p95, p90, p50 that at least half of the measured points have; else p50."""
    measured = [place for place in found if place.summary is not None]
    for statistic in ("p95", "p90"):
        having = sum(place.value(metric, statistic).value is not None for place in measured)
        if having and 2 * having >= len(measured):
            return statistic
    return "p50"


def throughput_latency(found: Sequence[Place]) -> FigureView:
    """Output tokens per second against TTFT, and against the speed each user sees."""
    statistic = best_statistic(found, "time_to_first_token")
    asked = (("time_to_first_token", statistic), ("output_token_throughput_per_user", "p50"))
    panels = tuple(_against_throughput(found, metric, key) for metric, key in asked)
    missing = _missing(found, "time_to_first_token", statistic)
    drawn = _any_known(found, "time_to_first_token", (statistic,))
    return FigureView(
        key="throughput-latency",
        title=f"Throughput against latency: what more output costs in TTFT {statistic} and in speed per user",
        description="Output token throughput of each point on the horizontal axis; TTFT and output tokens per second "
        "per user on the vertical axes. One line per workload, the load level beside each marker.",
        caption=f"Better: right and low on the left, right and high on the right. {_marks_note(found)}{missing}"
        if drawn
        else f"Not drawn: no point has a TTFT {statistic}; too few requests succeeded.",
        content=Curves((panels,)) if drawn else None,
        table=figure_table(found, (("output_token_throughput", POINT_VALUE), *asked)),
    )


def _against_throughput(found: Sequence[Place], metric: str, statistic: str) -> Panel:
    lines = []
    for style, (name, series) in enumerate(series_of(found).items()):
        points = [
            place
            for place in series
            if place.value("output_token_throughput", POINT_VALUE).value is not None
            and place.value(metric, statistic).value is not None
        ]
        if points:
            x = [place.value("output_token_throughput", POINT_VALUE) for place in points]
            lines.append(_line(name, style, points, [_shown(value) for value in x], metric, statistic, marks=True))
    unit = screen_unit(METRICS[metric].unit)
    label = f"{SHORT_TITLES[metric]} {statistic}" + (f" ({unit})" if unit == "ms" else "")
    return Panel(
        title=label,
        x_label="output tokens/s",
        y_label=label,
        lines=tuple(lines),
        limits=_limits(found, metric, statistic),
        log_y=_spread(lines) > 8,
    )


def percentiles(found: Sequence[Place]) -> FigureView:
    """TTFT, ITL (else TPOT) and request latency at four percentiles against the load level."""
    spacing = "inter_token_latency" if _has(found, "inter_token_latency") else "time_per_output_token"
    metrics = ("time_to_first_token", spacing, "request_latency")
    all_series = series_of(found)
    rows = tuple(
        tuple(_against_load(name, series, metric) for metric in metrics) for name, series in all_series.items()
    )
    drawn = any(_any_known(found, metric, PERCENTILES) for metric in metrics)
    names = ", ".join(SHORT_TITLES[metric] for metric in metrics)
    return FigureView(
        key="percentiles",
        title=f"Percentiles of {names} against {load_axis(found).partition(' (')[0]}",
        description="One row per workload, one column per metric; lines for p50, p90, p95 and p99.",
        caption=f"A percentile is drawn where enough requests were measured for it. {_marks_note(found)}"
        f"{'' if closed_loop(found) else ' Thin dots: the same from the send.'}"
        if drawn
        else "Not drawn: no point has a percentile; too few requests succeeded.",
        content=Curves(rows) if drawn else None,
        table=figure_table(found, tuple((metric, p) for metric in _both_views(metrics, found) for p in PERCENTILES)),
    )


def _both_views(metrics: Sequence[str], found: Sequence[Place]) -> tuple[str, ...]:
    """The metrics, and for an open loop their views from the send."""
    return (*metrics, *(FROM_SEND[metric] for metric in metrics if metric in FROM_SEND and not closed_loop(found)))


def _against_load(name: str, series: Sequence[Place], metric: str) -> Panel:
    lines = []
    for style, statistic in enumerate(PERCENTILES):
        points = [place for place in series if place.value(metric, statistic).value is not None]
        if points:
            x = [place.load for place in points]
            lines.append(_line(statistic, style, points, x, metric, statistic, marks=False))
    lines += _from_send(series, metric)
    loads = tuple(place.load for place in series)
    return Panel(
        title=f"{name}:{' ' if len(name) < LONG_NAME else chr(10)}{SHORT_TITLES[metric]}",
        x_label=load_axis(series),
        y_label=f"{SHORT_TITLES[metric]} (ms)",
        lines=tuple(lines),
        limits=tuple(limit for p in PERCENTILES for limit in _limits(series, metric, p)),
        log_x=len(loads) > 2 and max(loads) >= 8 * min(loads),
        x_ticks=loads,
        empty="too few requests",
    )


FROM_SEND = {
    "time_to_first_token": "time_to_first_token_from_send",
    "request_latency": "request_latency_from_send",
}


def _from_send(series: Sequence[Place], metric: str) -> list[Line]:
    """In an open loop, the same percentiles counted from the send: thin, dotted, in the colours of their neighbours."""
    if metric not in FROM_SEND or not any(place.open_loop for place in series):
        return []
    lines = []
    for style, statistic in enumerate(PERCENTILES):
        points = [(place.load, place.value(FROM_SEND[metric], statistic)) for place in series]
        known = [(x, _shown(value)) for x, value in points if value.value is not None]
        if known:
            x, y = zip(*known, strict=True)
            lines.append(Line("", x, y, style, faint=True))
    return lines


def _line(
    label: str, style: int, points: Sequence[Place], x: Sequence[float], metric: str, statistic: str, *, marks: bool
) -> Line:
    values = [place.value(metric, statistic) for place in points]
    y = [_shown(value) for value in values]
    low, high = zip(*(_ends(value) for value in values), strict=True)
    return Line(
        label=label,
        x=tuple(x),
        y=tuple(y),
        style=style,
        low=low,
        high=high,
        marks=tuple(place.load_text for place in points) if marks else (),
        doubtful=tuple(place.status != "VALID" or v.above or v.below for place, v in zip(points, values, strict=True)),
    )


def _shown(value: Value) -> float:
    return on_screen(value.value or 0.0, value.unit)


def _ends(value: Value) -> tuple[float, float]:
    """The ends of the interval; the value itself where an end is open."""
    centre = value.value or 0.0
    low = centre if value.low is None else min(value.low, centre)
    high = centre if value.high is None else max(value.high, centre)
    return on_screen(low, value.unit), on_screen(high, value.unit)


def _spread(lines: Sequence[Line]) -> float:
    y = [value for line in lines for value in line.y if value > 0]
    return max(y) / min(y) if y else 1.0


def _limits(found: Sequence[Place], metric: str, statistic: str) -> tuple[Limit, ...]:
    stated = {
        (result.bound, result.limit)
        for place in found
        for result in place.objectives
        if result.metric == metric and result.statistic == statistic and result.tenant is None
    }
    return tuple(Limit(f"objective {statistic}: {exactly(limit)}", limit) for _, limit in sorted(stated))


def _any_known(found: Sequence[Place], metric: str, statistics: Sequence[str]) -> bool:
    """Whether any point has a value that was observed: a figure of bounds alone would show how long people waited."""
    values = [place.value(metric, statistic) for place in found for statistic in statistics]
    return any(v.value is not None and not (v.above or v.below) for v in values)


def _has(found: Sequence[Place], metric: str) -> bool:
    return any(place.value(metric, "p50").value is not None for place in found)


def _marks_note(found: Sequence[Place]) -> str:
    doubtful = any(place.status in ("SUSPECT", "INVALID") for place in found)
    several = any(place.point.repetitions > 1 for place in found)
    bars = "Bars: range over repetitions." if several else "Bars: 95% interval."
    return f"{bars} Hollow: not VALID, or only a bound." if doubtful else bars


def _missing(found: Sequence[Place], metric: str, statistic: str) -> str:
    without = [place for place in found if place.value(metric, statistic).value is None]
    lacking = [place.label for place in without if not overload(place)]
    text = f" Without {statistic}, for lack of requests: {'; '.join(lacking)}." if lacking else ""
    return text + overload_note(found)


def overload_note(found: Sequence[Place]) -> str:
    """Which points show no latency because they were overloaded."""
    labels = [f"{place.label} ({overload(place)})" for place in found if overload(place)]
    return f" Left out, because overloaded: {'; '.join(labels)}." if labels else ""


def figure_table(found: Sequence[Place], asked: Sequence[tuple[str, str]]) -> TextTable:
    """The text alternative of a figure over points: its values, one row per point."""
    headers = tuple(f"{SHORT_TITLES[metric]}{'' if key == POINT_VALUE else ' ' + key}" for metric, key in asked)
    rows = tuple(
        (place.label, place.status, *(_text(place.value(metric, key)) for metric, key in asked)) for place in found
    )
    return TextTable(("point", "validity", *headers), rows)


def _text(value: Value) -> str:
    interval = span(value)
    return f"{plain(value)} ({interval})" if interval and value.value is not None else plain(value)


def heat_maps(found: Sequence[Place]) -> FigureView:
    """TTFT and output token throughput by input length and load."""
    statistic = best_statistic(found, "time_to_first_token")
    asked = (("time_to_first_token", statistic), ("output_token_throughput", POINT_VALUE))
    maps = tuple(_heat_map(found, metric, key) for metric, key in asked)
    drawn = any(cell.value is not None for heat_map in maps for row in heat_map.cells for cell in row)
    return FigureView(
        key="heat-map",
        title=f"Input length × {load_axis(found).partition(' (')[0]}: TTFT {statistic} and output tokens/s",
        description="Rows are workloads with their mean planned input length in tokens, columns load levels. "
        "Darker cells have higher numbers.",
        caption="Darker is higher. Hatched: no number, and why."
        if drawn
        else "Not drawn: no point has a number to show.",
        content=HeatMaps(maps) if drawn else None,
        table=figure_table(found, asked),
    )


def _heat_map(found: Sequence[Place], metric: str, statistic: str) -> HeatMap:
    loads = sorted({(place.load, place.load_text) for place in found})
    rows = sorted(series_of(found).items(), key=lambda item: item[1][0].point.input_tokens_mean)
    unit = screen_unit(METRICS[metric].unit)
    title = SHORT_TITLES[metric] if statistic == POINT_VALUE else f"{SHORT_TITLES[metric]} {statistic} ({unit})"
    return HeatMap(
        title=title,
        x_label=load_axis(found),
        y_label="input tokens\n(mean)",
        x_ticks=tuple(text for _, text in loads),
        y_ticks=tuple(f"{exactly(round(series[0].point.input_tokens_mean, 1))}\n{name}" for name, series in rows),
        cells=tuple(tuple(_heat_cell(series, load, metric, statistic) for load, _ in loads) for _, series in rows),
    )


def _heat_cell(series: Sequence[Place], load: float, metric: str, statistic: str) -> HeatCell:
    place = next((p for p in series if p.load == load), None)
    if place is None:
        return HeatCell(None, "not planned")
    if place.status in ("INVALID", "NOT MEASURED"):
        return HeatCell(None, place.status.lower() if place.status != "INVALID" else "INVALID")
    value = place.value(metric, statistic)
    if value.value is None:
        reason = value.reason or ""
        return HeatCell(None, reason.partition(" (")[0] if reason.startswith("needs ") else overloaded(reason) or "n/a")
    sign = "> " if value.above else "< " if value.below else ""
    return HeatCell(_shown(value), sign + digits(_shown(value)))
