"""The table of points: the values most people came for, one row per point. And the full list of values per point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.metrics.catalog import METRICS
from harness.metrics.results import POINT_VALUE
from harness.metrics.schedule import offered_rate
from harness.report.curves import FROM_SEND
from harness.report.numbers import Footnotes, bare, cell, digits, on_screen, plain, screen_unit, span
from harness.report.places import Place, closed_loop
from harness.report.shown import Cell, Column, PointRow, PointsTable, TextTable


@dataclass(frozen=True)
class _Asked:
    """A column: which value it shows under which heading."""

    group: str
    label: str
    metric: str
    statistic: str
    from_send: str | None = None  # the metric that counts the same from the send


_LATENCY = (
    _Asked("TTFT", "p50", "time_to_first_token", "p50", FROM_SEND["time_to_first_token"]),
    _Asked("TTFT", "p95", "time_to_first_token", "p95", FROM_SEND["time_to_first_token"]),
    _Asked("TTFT", "p99", "time_to_first_token", "p99", FROM_SEND["time_to_first_token"]),
)
_SPACING = (
    _Asked("ITL", "p50", "inter_token_latency", "p50"),
    _Asked("ITL", "p99", "inter_token_latency", "p99"),
)
_SPACING_BY_REQUEST = (
    _Asked("TPOT", "p50", "time_per_output_token", "p50"),
    _Asked("TPOT", "p95", "time_per_output_token", "p95"),
)
_REST = (
    _Asked("Request latency", "p50", "request_latency", "p50", FROM_SEND["request_latency"]),
    _Asked("Request latency", "p95", "request_latency", "p95", FROM_SEND["request_latency"]),
    _Asked("Request latency", "p99", "request_latency", "p99", FROM_SEND["request_latency"]),
    _Asked("Throughput", "requests", "request_throughput", POINT_VALUE),
    _Asked("Throughput", "output tokens", "output_token_throughput", POINT_VALUE),
    _Asked("Throughput", "per user p50", "output_token_throughput_per_user", "p50"),
)
_PER_GPU = (_Asked("Throughput", "per GPU", "output_token_throughput_per_gpu", POINT_VALUE),)
_QUALITY = (
    _Asked("Within bounds", "goodput", "goodput", POINT_VALUE),
    _Asked("Within bounds", "attainment", "attainment", POINT_VALUE),
)
_ERRORS = (_Asked("Errors", "ratio", "error_ratio", POINT_VALUE),)

NOTE = (
    "The smaller line is the range over the repetitions, or the 95% interval where there is one repetition. "
    "“> x”: the value falls among requests that failed or did not finish; all that is known is that it is above x. "
    "“needs n requests”: too few for this percentile to have a 95% interval; measure longer. "
    "n is the number of requests in the window, over all repetitions"
)
IN_FLIGHT_NOTE = "; “in flight” is the concurrency."
OPEN_LOOP_NOTE = (
    ". TTFT and latency count from the intended instant; “send” under them counts from the send. Offered: requests "
    "intended per second of the window; served: requests that ended well in it. Schedule lag: how late they were sent."
)
INSTRUMENT_NOTE = (
    " Instrument: how wrong the load generator itself may be at this load, as calibrated on this host: the median "
    "error of a TTFT, below it its 99th percentile and that of a gap between chunks. “≥”: more in flight than was "
    "calibrated."
)
NOT_CALIBRATED_NOTE = " The instrument's own error is not calibrated: harness calibrate."


def points_table(found: Sequence[Place]) -> PointsTable:
    """The table of these points."""
    asked = _columns(found)
    footnotes = Footnotes()
    opened, calibrated = not closed_loop(found), any(place.instrument is not None for place in found)
    rows = tuple(_row(place, asked, footnotes, opened=opened, calibrated=calibrated) for place in found)
    columns = (
        Column("", "n", ""),
        *((Column("Requests", "served", "/s"),) if opened else ()),
        *(Column(a.group, a.label, _unit(a)) for a in asked),
        *((Column("Schedule lag", "p99", "ms"),) if opened else ()),
        *((Column("Instrument ±", "TTFT", "ms"),) if calibrated else ()),
    )
    note = NOTE + (OPEN_LOOP_NOTE if opened else IN_FLIGHT_NOTE)
    note += INSTRUMENT_NOTE if calibrated else NOT_CALIBRATED_NOTE
    return PointsTable("Load" if opened else "In flight", columns, rows, tuple(footnotes.texts), note)


def _columns(found: Sequence[Place]) -> tuple[_Asked, ...]:
    """Which columns say something for this run: ITL where chunks are tokens, per GPU where GPUs are known, …"""
    spacing = _SPACING if _any(found, _SPACING) else _SPACING_BY_REQUEST
    per_gpu = _PER_GPU if any(_has_several_gpus(place) for place in found) else ()
    quality = _QUALITY if _any(found, _QUALITY) else ()
    opened = not closed_loop(found)
    rest = tuple(a for a in _REST if not (opened and a.metric == "request_throughput"))  # shown as “served”
    return (*_LATENCY, *spacing, *rest, *per_gpu, *quality, *_ERRORS)


def _any(found: Sequence[Place], asked: Sequence[_Asked]) -> bool:
    return any(place.value(a.metric, a.statistic).value is not None for place in found for a in asked)


def _has_several_gpus(place: Place) -> bool:
    """With one GPU the column would repeat its neighbour."""
    one, whole = (place.value(m, POINT_VALUE).value for m in (_PER_GPU[0].metric, "output_token_throughput"))
    return one is not None and one != whole


def _unit(asked: _Asked) -> str:
    unit = screen_unit(METRICS[asked.metric].unit)
    return "/s" if unit == "per second" else unit


def _row(place: Place, asked: Sequence[_Asked], footnotes: Footnotes, *, opened: bool, calibrated: bool) -> PointRow:
    cells = tuple(_cell(place, a, footnotes) for a in asked)
    rates = (_served(place, footnotes),)
    lag = (_lag(place, footnotes),) if opened else ()
    errors = (_instrument(place),) if calibrated else ()
    load = place.load_label if opened else place.load_text
    shown = (_count(place), *(rates if opened else ()), *cells, *lag, *errors)
    return PointRow(place.point.point_id, place.series, load, place.status, shown)


def _cell(place: Place, asked: _Asked, footnotes: Footnotes) -> Cell:
    made = cell(place.value(asked.metric, asked.statistic), footnotes)
    if asked.from_send is None or not place.open_loop or made.kind == "missing":
        return made
    sent = place.value(asked.from_send, asked.statistic)
    return made if sent.value is None else replace(made, beside=f"send {bare(sent)}")


def _served(place: Place, footnotes: Footnotes) -> Cell:
    made = cell(place.value("request_throughput", POINT_VALUE), footnotes)
    offered = None if place.summary is None else offered_rate(place.summary)
    return made if offered is None or offered.value is None else replace(made, beside=f"offered {bare(offered)}")


def _lag(place: Place, footnotes: Footnotes) -> Cell:
    made, most = cell(place.value("schedule_lag", "p99"), footnotes), place.value("schedule_lag", "max")
    return made if most.value is None else replace(made, beside=f"max {bare(most)}")


def _instrument(place: Place) -> Cell:
    """The instrument's errors at the load of a point: of TTFT, and of the gaps between chunks."""
    error = place.instrument
    if error is None or error.time_to_first_token_p50_ns is None:
        return Cell("n/a", kind="missing")
    sign = "≥ " if error.beyond_calibrated else ""
    first, worst, gap = (
        "n/a" if ns is None else digits(on_screen(ns, "ns"))
        for ns in (error.time_to_first_token_p50_ns, error.time_to_first_token_p99_ns, error.gap_p99_ns)
    )
    return Cell(sign + first, f"gap p99 {gap}", beside=f"p99 {worst}")


def _count(place: Place) -> Cell:
    if place.summary is None:
        return Cell("0", kind="missing")
    return Cell(str(sum(repetition.cohort for repetition in place.summary.repetitions)))


STATISTICS = ("mean", "p50", "p90", "p95", "p99", "p999", "max")


def all_values(place: Place) -> TextTable:
    """Every metric of a point with every statistic. A metric without a value says why, in the first column."""
    rows = []
    for name in METRICS:
        statistics = place.summary.metrics.get(name, {}) if place.summary is not None else {}
        for key, value in statistics.items():
            if key not in STATISTICS:
                title = name if key == POINT_VALUE else f"{name}, {key}"
                rows.append((title, _with_span(plain(value), span(value)), *[""] * (len(STATISTICS) - 1), str(value.n)))
        if "mean" in statistics:
            values = [statistics[key] for key in STATISTICS]
            reasons = {value.reason for value in values}
            shown = [_with_span(plain(value), span(value)) for value in values]
            if len(reasons) == 1 and values[0].reason is not None:
                shown = [values[0].reason, *[""] * (len(STATISTICS) - 1)]
            rows.append((name, *shown, str(values[0].n)))
    return TextTable(("metric", "mean (or the value)", *STATISTICS[1:], "n"), tuple(rows))


def _with_span(text: str, interval: str) -> str:
    return f"{text} ({interval})" if interval else text
