"""The instrument's own error at a point: the profile interpolated at its load."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analysis.instrument import instrument_error, interpolated, load_share
from harness.metrics.results import PointSummary, Value
from harness.records.calibration import Calibration, Ceiling, NotCalibrated, SendLateness, TimingLevel
from harness.records.calibration import from_json as read
from harness.records.calibration import to_json as written
from tests.oracle.runs import MS, manifest, measurement

PROFILE = Calibration(
    "k",
    "0",
    0,
    "triton_grpc",
    {"cpu_count": 2},
    timing=[TimingLevel(n, n * MS, 2.0 * n * MS, 3.0 * n * MS, 0.1, 100) for n in (1, 16, 64)],
    ceilings=[Ceiling("output_tokens", 50_000, 0.5, "server"), Ceiling("requests", 5_000, 1.0, "client")],
    send_lateness=[SendLateness(20, 100, 200), SendLateness(80, 300, 600)],
)


def point(**changes):
    return dataclasses.replace(manifest([measurement(0)]).points[0], **changes)


def summary(**values: float) -> PointSummary:
    metrics = {
        name: {key: Value(value, "x", 1) for key in ("value", "mean")}
        for name, value in {
            "output_token_throughput": 0.0,
            "request_throughput": 0.0,
            "request_latency_from_send": 0.0,
            **values,
        }.items()
    }
    return PointSummary("p", None, [], metrics)


def test_a_calibrated_level_gives_its_own_errors():
    error = instrument_error(PROFILE, point(concurrency=16))
    assert (error.time_to_first_token_p50_ns, error.time_to_first_token_p99_ns) == (16 * MS, 32 * MS)
    assert (error.gap_p99_ns, error.beyond_calibrated) == (48 * MS, False)
    assert error.send_lateness_p99_ns is None, "a closed loop has no schedule"


def test_between_levels_errors_are_interpolated_and_beyond_the_last_they_are_said_to_be_at_least():
    between = instrument_error(PROFILE, point(concurrency=32)).time_to_first_token_p50_ns
    assert between == pytest.approx(40 * MS), "half way in the logarithm"
    beyond = instrument_error(PROFILE, point(concurrency=500))
    assert (beyond.gap_p99_ns, beyond.beyond_calibrated) == (192 * MS, True)


def test_an_open_loop_is_judged_by_its_rate_and_its_in_flight():
    opened = point(load_kind="open_loop", concurrency=None, request_rate_per_s=40.0)
    error = instrument_error(PROFILE, opened, summary(request_latency_from_send=0.4e9))
    assert error.streams == pytest.approx(16)
    assert error.send_lateness_p50_ns == pytest.approx(200)


def test_an_empty_profile_knows_nothing():
    error = instrument_error(Calibration("k", "0", 0, "p", {}), point(concurrency=4), summary())
    assert (error.time_to_first_token_p50_ns, error.gap_p99_ns, error.load_share) == (None, None, None)


def test_the_load_share_adds_tokens_and_requests_and_divides_by_workers():
    assert load_share(PROFILE, 50_000, 0) == pytest.approx(0.5), "the server was the limit at half a core"
    assert load_share(PROFILE, 50_000, 2_500) == pytest.approx(1.0)
    assert load_share(PROFILE, 50_000, 2_500, workers=2) == pytest.approx(0.5)
    assert instrument_error(PROFILE, point(), summary(request_throughput=5_000)).load_share == pytest.approx(1.0)


@pytest.mark.parametrize(("wanted", "value"), [(0.5, 10), (1, 10), (10, 20), (100, 30), (1000, 30)])
def test_interpolation_is_linear_in_the_logarithm(wanted, value):
    assert interpolated([1.0, 100.0], [10.0, 30.0], wanted) == pytest.approx(value)


@pytest.mark.parametrize("profile", [PROFILE, NotCalibrated("why")])
def test_a_profile_survives_its_file(profile):
    assert read(written(profile)) == profile


def test_a_profile_of_another_version_is_none():
    text = written(PROFILE).replace('"calibration_version": 1', '"calibration_version": 9')
    assert isinstance(read(text), NotCalibrated)


def test_the_turns_of_sessions_are_streams_though_the_rate_counts_sessions():
    opened = point(load_kind="open_loop", concurrency=None, request_rate_per_s=10.0)
    error = instrument_error(PROFILE, opened, summary(request_latency_from_send=0.4e9, request_throughput=40.0))
    assert error.streams == pytest.approx(16)
