"""What the timeline shows: load, latency, tokens and telemetry over the whole run, on one time axis.

Seconds count from the first start of the run. Lines break between repetitions and where there is nothing to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from harness.metrics.columns import Floats, Ints
from harness.metrics.series import Series
from harness.metrics.summary import measurements_of
from harness.records.manifest import Manifest, Measurement
from harness.report.numbers import digits
from harness.report.places import Place
from harness.report.recorded import PointKey, Recorded
from harness.report.shown import Band, FigureView, Line, TextTable, Timeline, Track
from harness.report.telemetry_strips import missing, strips
from harness.units import NS_PER_MS, NS_PER_S

MOST_BINS = 240
SHORTEST_BIN_NS = NS_PER_S // 2
TABLE_ROWS = 50
TITLE = "Timeline: load, latency, tokens and telemetry on one time axis"
DESCRIPTION = (
    "Strips over the seconds since the run began: requests in flight, requests sent per second, TTFT, output "
    "tokens per second, and telemetry where there is any. Each repetition is a band: grey warm-up, clear window, "
    "hatched drain."
)


def timeline(
    found: Sequence[Place],
    manifest: Manifest,
    records: Mapping[PointKey, Recorded],
    telemetry: pa.Table,
    period_s: float,
) -> FigureView:
    """The timeline of the run. `period_s`: the asked time between two samples of the telemetry."""
    if not manifest.measurements:
        nothing = TextTable((), ())
        return FigureView("timeline", TITLE, DESCRIPTION, "Not drawn: nothing was measured.", None, nothing)
    start_ns, width_ns = span(manifest.measurements)
    measured = [s for place in found for s in records[place.key].series]
    tracks = (*_client_tracks(measured, start_ns), *strips(telemetry, start_ns, period_s))
    caption = (
        f"What clients saw: one value per {width_ns / NS_PER_S:.3g} s. Grey: warm-up; clear: window; hatched: drain."
    )
    if lacking := missing(telemetry):
        caption += f" No strip for: {', '.join(lacking)} (why: see Telemetry)."
    content = Timeline(_bands(found, manifest, start_ns), tracks)
    return FigureView("timeline", TITLE, DESCRIPTION, caption, content, _table(tracks))


def span(measurements: Sequence[Measurement]) -> tuple[int, int]:
    """(first start, width of a bin) in ns; start 0 where nothing was measured."""
    if not measurements:
        return 0, SHORTEST_BIN_NS
    start = min(m.start_ns for m in measurements)
    length = max(m.drain_end_ns for m in measurements) - start
    return start, max(SHORTEST_BIN_NS, -(-length // MOST_BINS))


def _middles_s(edges_ns: Ints, start_ns: int) -> Floats:
    return np.asarray((edges_ns[:-1] + edges_ns[1:]) / 2 - start_ns) / NS_PER_S


def _bands(found: Sequence[Place], manifest: Manifest, start_ns: int) -> tuple[Band, ...]:
    def seconds(instant_ns: int | None, m: Measurement) -> float | None:
        return None if instant_ns is None else (min(instant_ns, m.drain_end_ns) - start_ns) / NS_PER_S

    bands = [
        Band(
            f"{place.series}\n{place.load_text}",
            (m.start_ns - start_ns) / NS_PER_S,
            seconds(m.window_start_ns, m),
            seconds(m.window_end_ns, m),
            (m.drain_end_ns - start_ns) / NS_PER_S,
        )
        for place in found
        for m in measurements_of(manifest, place.point)
    ]
    return tuple(sorted(bands, key=lambda band: band.start_s))


def _client_tracks(measured: Sequence[Series], start_ns: int) -> tuple[Track, ...]:
    def line(label: str, style: int, values: Callable[[Series], Floats]) -> tuple[Line]:
        return (_joined(label, style, measured, values, start_ns),)

    return (
        Track("in flight", line("requests in flight", 0, lambda s: s.in_flight)),
        Track("sent\nreq/s", line("requests sent per second", 0, lambda s: s.request_rate_per_s)),
        Track("TTFT\nms", line("median TTFT", 1, lambda s: s.time_to_first_token_p50_ns / NS_PER_MS)),
        Track("output\ntokens/s", line("output tokens per second", 2, lambda s: s.output_tokens_per_s)),
    )


def _joined(
    label: str, style: int, measured: Sequence[Series], values: Callable[[Series], Floats], start_ns: int
) -> Line:
    """One line through all repetitions, broken between them and where a value is not finite."""
    x, y = [np.empty(0)], [np.empty(0)]
    for s in sorted(measured, key=lambda s: int(s.edges_ns[0])):
        own = values(s)
        middles = _middles_s(s.edges_ns, start_ns)
        x += [middles, middles[-1:]]
        y += [np.where(np.isfinite(own), own, np.nan), np.full(1, np.nan)]
    return Line(label, tuple(map(float, np.concatenate(x))), tuple(map(float, np.concatenate(y))), style)


def _table(tracks: Sequence[Track]) -> TextTable:
    """Strips as text: every so many-th instant of the first, and what each line says nearest to it."""
    lines = [(f"{track.y_label}: {line.label}".replace("\n", " "), line) for track in tracks for line in track.lines]
    instants = [x for x, y in zip(lines[0][1].x, lines[0][1].y, strict=True) if not math.isnan(y)]
    step = max(1, -(-len(instants) // TABLE_ROWS))
    rows = tuple((f"{at:.1f}", *(_nearest(line, at) for _, line in lines)) for at in instants[::step])
    return TextTable(("time (s)", *(name for name, _ in lines)), rows)


def _nearest(line: Line, at: float) -> str:
    value = min(zip(line.x, line.y, strict=True), key=lambda pair: (abs(pair[0] - at), math.isnan(pair[1])))[1]
    return "–" if math.isnan(value) else digits(value)
