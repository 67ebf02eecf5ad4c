"""Which error of the instruments a cross-check allows for: the calibrated one where there is one."""

from __future__ import annotations

from harness.analysis.instrument import InstrumentError
from harness.campaigns.cross_check import STATED_ERROR_NS, calibrated_errors, stated_errors

CALIBRATED = InstrumentError(8.0, False, 1_000.0, 2_000.0, 3_000.0)


def test_without_a_calibration_both_have_the_stated_error_and_perf_analyzer_its_clock_besides() -> None:
    errors = stated_errors({}, 500.0)
    assert errors["time_to_first_token_from_send", "p50"] == (STATED_ERROR_NS["p50"], STATED_ERROR_NS["p50"] + 500)
    assert {metric for metric, _ in errors} == {
        "time_to_first_token_from_send",
        "inter_chunk_latency",
        "request_latency_from_send",
    }


def test_a_calibration_replaces_our_own_error_and_never_the_other_drivers() -> None:
    errors = stated_errors(calibrated_errors(CALIBRATED), 500.0)
    assert errors["time_to_first_token_from_send", "p50"] == (1_000.0, STATED_ERROR_NS["p50"] + 500)
    assert errors["time_to_first_token_from_send", "p90"][0] == 2_000, "only the p99 is calibrated: it bounds the p90"
    assert {errors["inter_chunk_latency", statistic][0] for statistic in STATED_ERROR_NS} == {3_000}


def test_a_calibration_without_timing_levels_leaves_the_stated_errors() -> None:
    nothing = calibrated_errors(InstrumentError(8.0, False))
    assert stated_errors(nothing, 0.0) == stated_errors({}, 0.0)
