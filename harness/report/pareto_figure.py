"""The Pareto figure: output tokens/s per GPU (or server) against tokens/s per user, and against TTFT."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.answer import Answer, AnswerPoint, Configuration, WorkloadAnswer
from harness.metrics.results import Value
from harness.report.numbers import digits, on_screen, plain
from harness.report.shown import Curves, FigureView, Line, Panel, TextTable

FRONT = "Pareto front"
FRONTS = {"per_user": "speed", "time_to_first_token": "TTFT"}


def pareto(answer: Answer, one: WorkloadAnswer) -> FigureView:
    """One line per configuration, its loads along it; the dotted line is the front over all of them."""
    rate = f"output tokens/s per {'GPU' if answer.divisor == 'gpu' else 'server'}"
    panels = (
        _panel(one, "per_user", "output tokens/s per user (p50)", rate, "Speed per user: better is right and up"),
        _panel(one, "time_to_first_token", f"TTFT {answer.statistic} (ms)", rate, "TTFT: better is left and up"),
    )
    drawn = any(panel.lines for panel in panels)
    return FigureView(
        key=f"pareto-{one.workload}",
        title=f"Pareto front: {rate} against speed per user and TTFT {answer.statistic}",
        description=f"Vertical axes: {rate}. Horizontal: output tokens per second per user, and time to first token. "
        "One line per configuration, its load levels along it; the dotted line joins the points that no other beats.",
        caption="Numbers beside markers are load levels. Dotted: the front. Hollow: not VALID, misses an objective, or"
        " not finished."
        if drawn
        else "Not drawn: no point has both a throughput and a latency.",
        content=Curves((panels,)) if drawn else None,
        table=_table(answer, one, rate),
    )


def _panel(one: WorkloadAnswer, name: str, x_label: str, y_label: str, title: str) -> Panel:
    lines = [line for style, c in enumerate(one.configurations) if (line := _line(c, name, style)) is not None]
    by_id = {point.point_id: point for c in one.configurations for point in c.points}
    on_front = [by_id[point_id] for point_id in one.fronts[name]]
    if len(on_front) > 1:
        ranked = sorted(on_front, key=lambda point: _x(point, name))
        xs, ys = [_x(point, name) for point in ranked], [point.throughput.value or 0.0 for point in ranked]
        lines.append(Line(FRONT, tuple(xs), tuple(ys), 0, faint=True))
    every = [x for line in lines for x in line.x if x > 0]
    wide = name == "time_to_first_token" and bool(every) and max(every) > 8 * min(every)
    return Panel(title, x_label, y_label, tuple(lines), log_x=wide)


def _line(c: Configuration, name: str, style: int) -> Line | None:
    known = [point for point in c.points if _is_known(point.throughput) and _is_known(_value(point, name))]
    if not known:
        return None
    return Line(
        label=c.label,
        x=tuple(_x(point, name) for point in known),
        y=tuple(point.throughput.value or 0.0 for point in known),
        style=style,
        marks=tuple(f"{point.level:g}" for point in known),
        doubtful=tuple(point.validity != "VALID" or point.why_not is not None for point in known),
    )


def _value(point: AnswerPoint, name: str) -> Value:
    return point.per_user if name == "per_user" else point.time_to_first_token


def _is_known(value: Value) -> bool:
    return value.value is not None and not value.above and not value.below


def _x(point: AnswerPoint, name: str) -> float:
    value = _value(point, name)
    return on_screen(value.value or 0.0, value.unit)


def _table(answer: Answer, one: WorkloadAnswer, rate: str) -> TextTable:
    headers = ("configuration", "load", "validity", rate, "per user p50", f"TTFT {answer.statistic}", "on a front")
    rows = [_row(one, c, point) for c in one.configurations for point in c.points]
    return TextTable(headers, tuple(rows))


def _row(one: WorkloadAnswer, c: Configuration, point: AnswerPoint) -> tuple[str, ...]:
    fronts: Sequence[str] = [word for name, word in FRONTS.items() if point.point_id in one.fronts[name]]
    rate = "n/a" if point.throughput.value is None else digits(point.throughput.value)
    return (
        c.label,
        point.load,
        point.validity,
        rate,
        plain(point.per_user),
        plain(point.time_to_first_token),
        ", ".join(fronts) or "–",
    )
