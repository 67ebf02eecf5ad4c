"""The timeline: telemetry as it was sampled, gaps as gaps, clients' lines broken between repetitions."""

from __future__ import annotations

import math

import pyarrow as pa
from fixture_run import S

from harness.records.schemas import TELEMETRY
from harness.report.shown import Timeline, View
from harness.report.telemetry_strips import MOST_SAMPLES, missing, strips


def table(times_s: list[float], values: list[float], metric: str = "cpu_cores", entity: str = "server") -> pa.Table:
    rows = [
        {"time_ns": int(t * S), "source": "host", "entity": entity, "metric": metric, "value": v, "unit": "cores"}
        for t, v in zip(times_s, values, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=TELEMETRY)


def test_samples_are_drawn_as_they_are_in_seconds_from_the_start() -> None:
    (track,) = strips(table([10, 11, 12], [0.5, 1.0, 0.75]), 10 * S, 1.0)
    assert (track.lines[0].x, track.lines[0].y) == ((0.0, 1.0, 2.0), (0.5, 1.0, 0.75))


def test_a_late_sample_breaks_the_line_and_no_zero_is_put_in() -> None:
    (track,) = strips(table([10, 11, 12, 30, 31], [1, 1, 1, 2, 2]), 10 * S, 1.0)
    y = track.lines[0].y
    assert [math.isnan(value) for value in y] == [False, False, False, True, False, False]
    assert 0.0 not in y


def test_a_source_slower_than_asked_is_still_one_line() -> None:
    (track,) = strips(table([10.0 + 3 * k for k in range(8)], [1.0] * 8), 10 * S, 1.0)
    assert not any(map(math.isnan, track.lines[0].y))


def test_many_samples_are_averaged_and_their_mean_stays() -> None:
    n = 10 * MOST_SAMPLES
    (track,) = strips(table([float(k) for k in range(n)], [float(k % 7) for k in range(n)]), 0, 1.0)
    assert len(track.lines[0].y) <= MOST_SAMPLES
    assert abs(sum(track.lines[0].y) / len(track.lines[0].y) - 3.0) < 0.05


def test_what_has_no_samples_has_no_strip_and_is_named() -> None:
    assert strips(TELEMETRY.empty_table(), 0, 1.0) == ()
    assert missing(TELEMETRY.empty_table()) == ("host", "Triton’s metrics page", "GPU")
    assert missing(table([1], [1])) == ("Triton’s metrics page", "GPU")


def test_one_of_two_processes_alone_keeps_its_name() -> None:
    (track,) = strips(table([1, 2], [1, 1], entity="load_generator"), 0, 1.0)
    assert ([line.label for line in track.lines], track.legend) == (["load generator"], True)


def test_bands_and_client_lines_follow_the_repetitions(constructed_view: View) -> None:
    content = next(figure.content for figure in constructed_view.figures if figure.key == "timeline")
    assert isinstance(content, Timeline)
    assert len(content.bands) == 16
    assert all(
        band.start_s < (band.window_start_s or 0) < (band.window_end_s or 0) <= band.end_s for band in content.bands
    )
    in_flight = content.tracks[0].lines[0]
    assert sum(map(math.isnan, in_flight.y)) >= 16
    assert 15.5 < max(y for y in in_flight.y if not math.isnan(y)) <= 16
