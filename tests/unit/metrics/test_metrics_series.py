"""Series and curves equal what counting by hand gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.curves import curves
from harness.metrics.series import Series, series
from tests.oracle.runs import MS, Row, at, failed_row, manifest, measurement, row, rows_of_any_kind, table


def series_of(rows: list[Row], bin_ms: int = 100, *, open_loop: bool = False) -> Series:
    run = manifest([measurement(len(rows))], open_loop=open_loop)
    (only,) = series(run, run.points[0], table(rows), bin_ms * MS)
    return only


def test_one_request_shows_where_it_was():
    line = series_of([row(0)])
    assert line.edges_ns[0] == at(0)
    assert line.edges_ns[-1] == at(1200)
    assert list(line.request_rate_per_s) == [0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
    assert list(line.output_tokens_per_s) == [0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0]
    assert line.in_flight[3] == pytest.approx(0.81)
    assert line.time_to_first_token_p50_ns[3] == 50 * MS
    assert math.isnan(line.time_to_first_token_p50_ns[2])


def test_a_bin_of_failures_has_no_finite_median():
    assert series_of([failed_row(0), failed_row(1)]).time_to_first_token_p50_ns[3] == math.inf


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_series_equal_counting_bin_by_bin(data):
    open_loop = data.draw(st.booleans())
    rows = data.draw(rows_of_any_kind(open_loop=open_loop))
    line, origin = series_of(rows, open_loop=open_loop), "intended_ns" if open_loop else "sent_ns"
    for i, (left, right) in enumerate(zip(line.edges_ns, line.edges_ns[1:], strict=False)):
        length_s = (right - left) / 1e9
        begun = [r for r in rows if r[origin] is not None and left <= r[origin] < right]
        assert line.request_rate_per_s[i] == pytest.approx(len(begun) / length_s)
        flying = 0.0
        for r in rows:
            if r["sent_ns"] is not None:
                end = at(1200) if r["done_ns"] is None else r["done_ns"]
                flying += max(0, min(end, right) - max(r["sent_ns"], left))
        assert line.in_flight[i] == pytest.approx(flying / (right - left), abs=1e-6)


def test_the_default_has_about_a_hundred_bins():
    run = manifest([measurement(1, drain_end_ns=at(60_000))])
    (only,) = series(run, run.points[0], table([row(0)]))
    assert only.edges_ns.size == 101


def test_a_curve_ends_below_one_where_requests_failed():
    rows = [row(i) for i in range(3)] + [failed_row(3)]
    run = manifest([measurement(4)])
    (curve,) = curves(run, run.points[0], table(rows), "time_to_first_token")
    assert list(curve.values) == [50 * MS] * 3
    assert list(curve.shares) == [0.25, 0.5, 0.75]
    assert curve.n == 4


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    rows = [row(i, first_token_ns=at(301 + i / 10)) for i in range(1000)]
    run = manifest([measurement(1000)])
    (curve,) = curves(run, run.points[0], table(rows), "time_to_first_token")
    assert curve.values.size <= 400
    assert (curve.values[0], curve.values[-1], curve.shares[-1]) == (1 * MS, pytest.approx(100.9 * MS), 1)
    assert np.all(np.diff(curve.shares) > 0)
