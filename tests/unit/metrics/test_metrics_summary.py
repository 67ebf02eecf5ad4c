"""The rules of DESIGN §5 on runs small enough to work out by hand."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given, settings

from harness.errors import RunFolderError
from harness.metrics.bounds import bound_from
from harness.metrics.results import PointSummary
from harness.metrics.summary import summarise
from tests.oracle.runs import MS, Row, at, failed_row, manifest, measurement, row, rows_of_any_kind, table

WINDOW_S = 0.7


def summary_of(rows: list[Row], *, bounds=(), open_loop: bool = False, **deployment) -> PointSummary:
    run = manifest([measurement(len(rows))], open_loop=open_loop, **deployment)
    (summary,) = summarise(run, table(rows), bounds)
    return summary


def value(summary: PointSummary, metric: str, statistic: str = "value"):
    return summary.metrics[metric][statistic]


def test_the_hand_worked_request_has_the_hand_worked_metrics():
    summary = summary_of([row(i) for i in range(6)], gpu_count=2)
    assert value(summary, "time_to_first_token", "p50").value == 50 * MS
    assert value(summary, "time_to_second_token", "p50").value == 10 * MS
    assert value(summary, "inter_token_latency", "p50").value == 10 * MS
    assert value(summary, "time_per_output_token", "p50").value == 10 * MS
    assert value(summary, "output_token_throughput_per_user", "p50").value == 100
    assert value(summary, "request_latency", "mean").value == 81 * MS
    assert value(summary, "request_throughput").value == pytest.approx(6 / WINDOW_S)
    assert value(summary, "output_token_throughput").value == pytest.approx(24 / WINDOW_S)
    assert value(summary, "total_token_throughput").value == pytest.approx((24 + 48) / WINDOW_S)
    assert value(summary, "output_token_throughput_per_gpu").value == pytest.approx(12 / WINDOW_S)
    assert value(summary, "input_tokens", "p50").value == 8
    assert value(summary, "output_tokens", "max").value == 4
    assert value(summary, "error_ratio").value == 0


def test_the_window_includes_its_start_and_excludes_its_end():
    rows = [row(i, sent_ns=at(ms)) for i, ms in enumerate([199.999999, 200, 899.999999, 900])]
    assert summary_of(rows).repetitions[0].cohort == 2


def test_tokens_and_requests_count_in_the_window_whoever_sent_them():
    before = row(0, sent_ns=at(150), first_token_ns=at(190), last_token_ns=at(210), done_ns=at(211))
    before |= {"chunk_offsets_ns": [40 * MS, 60 * MS], "chunk_tokens": [2, 2]}
    after = row(1, sent_ns=at(890), first_token_ns=at(899), last_token_ns=at(900), done_ns=at(901))
    after |= {"chunk_offsets_ns": [9 * MS, 10 * MS], "chunk_tokens": [1, 3]}
    summary = summary_of([before, after])
    assert value(summary, "output_token_throughput").value == pytest.approx((2 + 1) / WINDOW_S)
    assert value(summary, "request_throughput").value == pytest.approx(1 / WINDOW_S)
    assert value(summary, "total_token_throughput").value == pytest.approx((2 + 1 + 8) / WINDOW_S)


def test_late_send_counts_as_latency_in_open_loop():
    late = row(0, intended_ns=at(250))
    summary = summary_of([late] * 1, open_loop=True)
    assert value(summary, "time_to_first_token", "max").value == 100 * MS
    assert value(summary, "time_to_first_token_from_send", "max").value == 50 * MS
    assert value(summary, "schedule_lag", "max").value == 50 * MS


def test_a_closed_loop_has_no_schedule_lag():
    assert value(summary_of([row(0)]), "schedule_lag", "p99").reason == "not available: a closed loop has no schedule"


def test_a_request_never_sent_is_in_the_cohort_with_its_wait_as_limit():
    never = failed_row(0, "not_sent", intended_ns=at(500), sent_ns=None, done_ns=None)
    summary = summary_of([never], open_loop=True)
    longest = value(summary, "time_to_first_token", "max")
    assert (longest.value, longest.above, longest.n) == (700 * MS, True, 1)
    assert value(summary, "error_ratio", "not_sent").value == 1


def test_a_server_that_refuses_quickly_does_not_look_fast():
    rows = [row(i) for i in range(4)] + [failed_row(i, "rejected", done_ms=301) for i in range(4, 8)]
    summary = summary_of(rows)
    assert value(summary, "time_to_first_token", "p50").value == 50 * MS
    assert not value(summary, "time_to_first_token", "p50").above
    longest = value(summary, "time_to_first_token", "max")
    assert (longest.value, longest.above) == (50 * MS, True)
    assert value(summary, "error_ratio", "rejected").value == 0.5


def test_a_failed_request_is_censored_even_where_its_first_token_came():
    cut = row(0, outcome="bad_stream", done_ns=at(390))
    assert value(summary_of([cut]), "time_to_first_token", "max").value == 90 * MS
    assert value(summary_of([cut]), "time_to_first_token", "max").above


def test_the_gap_that_never_ended_is_in_the_distribution_of_gaps():
    stalled = row(0, outcome="timeout", done_ns=at(700))
    longest = value(summary_of([stalled]), "inter_chunk_latency", "max")
    assert (longest.value, longest.above, longest.n) == (320 * MS, True, 4)


def test_a_planned_cancellation_enters_only_where_it_got_to():
    stopped = row(0, outcome="cancelled", output_tokens_server=None, output_tokens_client=None)
    summary = summary_of([stopped, row(1)], bounds=[bound_from("time_to_first_token", "at_most_ms", 500)])
    assert value(summary, "time_to_first_token", "max").n == 2
    assert value(summary, "inter_chunk_latency", "max").n == 6
    assert value(summary, "request_latency", "max").n == 1
    assert value(summary, "time_per_output_token", "max").n == 1
    assert value(summary, "error_ratio").value == 0
    assert value(summary, "attainment").value == 1
    early = failed_row(0, "cancelled")
    assert value(summary_of([early]), "time_to_first_token", "max").n == 0


def test_an_empty_first_chunk_is_no_token_and_no_gap():
    rows = [row(0, chunk_offsets_ns=[5 * MS, 50 * MS, 60 * MS, 70 * MS, 80 * MS], chunk_tokens=[0, 1, 1, 1, 1])]
    summary = summary_of(rows)
    assert value(summary, "inter_token_latency", "max").value == 10 * MS
    assert value(summary, "time_to_second_token", "max").value == 10 * MS


def test_inter_token_latency_is_not_available_where_chunks_carry_several_tokens():
    summary = summary_of([row(0, chunk_offsets_ns=[50 * MS, 80 * MS], chunk_tokens=[2, 2])])
    assert value(summary, "inter_token_latency", "p50").reason.startswith("not available: chunks carry 2 tokens")
    assert value(summary, "time_to_second_token", "p50").reason.startswith("not available: first chunks carry 2 tokens")
    assert value(summary, "inter_chunk_latency", "max").value == 30 * MS


def test_assumed_single_tokens_do_not_make_an_itl_when_the_server_counted_more():
    summary = summary_of([row(0, output_tokens_server=8, output_tokens_client=None)])
    assert value(summary, "inter_token_latency", "p50").reason.startswith("not available: chunks carry 2 tokens")
    assert value(summary, "output_token_throughput").value == pytest.approx(8 / WINDOW_S)


def test_inter_token_latency_is_not_available_where_nobody_counted():
    rows = [row(0, output_tokens_server=None, output_tokens_client=None)]
    summary = summary_of(rows, token_count_source="chunks")
    assert value(summary, "inter_token_latency", "p50").reason == "not available: nobody counted the tokens of a chunk"
    assert summary.repetitions[0].token_sources == {"input": "server", "output": "chunks"}


def test_per_gpu_metrics_need_a_gpu_count_and_goodput_needs_a_bound():
    summary = summary_of([row(0)])
    assert value(summary, "output_token_throughput_per_gpu").reason.startswith("not available: the number of GPUs")
    assert value(summary, "goodput").reason == "not available: no per-request bound"
    assert value(summary, "attainment").reason == "not available: no per-request bound"


def test_goodput_is_not_available_where_its_bound_cannot_be_judged():
    several = row(0, chunk_offsets_ns=[50 * MS, 80 * MS], chunk_tokens=[2, 2])
    summary = summary_of([several], bounds=[bound_from("time_to_second_token", "at_most_ms", 20)])
    assert "time_to_second_token, which is not available" in value(summary, "goodput").reason


def test_goodput_counts_requests_within_every_bound():
    slow = row(1, first_token_ns=at(370), chunk_offsets_ns=[70 * MS, 73 * MS, 76 * MS, 80 * MS])
    bounds = [
        bound_from("time_to_first_token", "at_most_ms", 50),
        bound_from("time_per_output_token", "at_most_ms", 10),
    ]
    summary = summary_of([row(0), slow, failed_row(2)], bounds=bounds)
    assert value(summary, "goodput").value == pytest.approx(1 / WINDOW_S)
    assert value(summary, "attainment").value == pytest.approx(1 / 3)


def test_a_throughput_per_user_bound_is_a_lower_bound():
    bounds = [bound_from("output_token_throughput_per_user", "at_least_per_s", 100)]
    assert value(summary_of([row(0)], bounds=bounds), "attainment").value == 1
    bounds = [bound_from("output_token_throughput_per_user", "at_least_per_s", 101)]
    assert value(summary_of([row(0)], bounds=bounds), "attainment").value == 0


def test_one_output_token_has_no_time_per_output_token_and_breaks_no_bound_on_it():
    short = row(0, output_tokens_server=1, output_tokens_asked=1, chunk_offsets_ns=[50 * MS], chunk_tokens=[1])
    summary = summary_of([short], bounds=[bound_from("time_per_output_token", "at_most_ms", 1)])
    assert value(summary, "time_per_output_token", "mean").reason == "no data: no requests to count"
    assert value(summary, "attainment").value == 1


def test_percentiles_below_their_n_say_how_many_they_need():
    summary = summary_of([row(i) for i in range(5)])
    assert value(summary, "time_to_first_token", "p50").reason == "needs 6 requests"
    assert value(summary, "time_to_first_token", "p999").reason == "needs 3688 requests"
    assert value(summary, "inter_chunk_latency", "p90").reason == "needs 36 gaps"
    assert value(summary, "time_to_first_token", "mean").value == 50 * MS


def two_repetitions(first: dict, second: dict) -> PointSummary:
    rows = [row(i, repetition=1, done_ns=at(400)) for i in range(6)]
    rows += [row(i, repetition=2, done_ns=at(500)) for i in range(6)]
    measurements = [measurement(6, repetition=1, **first), measurement(6, repetition=2, **second)]
    (summary,) = summarise(manifest(measurements), table(rows))
    return summary


def test_a_point_is_the_median_of_its_repetitions_with_their_range():
    latency = value(two_repetitions({}, {}), "request_latency", "p50")
    assert (latency.value, latency.low, latency.high, latency.interval) == (150 * MS, 100 * MS, 200 * MS, "range")
    assert latency.n == 12


def test_a_repetition_cut_short_is_summarised_but_does_not_speak_for_the_point():
    cut = {"complete": False, "ended": "interrupted", "window_end_ns": at(450), "drain_end_ns": at(450)}
    summary = two_repetitions({}, cut)
    assert [r.complete for r in summary.repetitions] == [True, False]
    assert summary.repetitions[1].window_s == pytest.approx(0.25)
    assert value(summary, "request_latency", "p50").value == 100 * MS


def test_the_planned_end_of_a_window_does_not_outlast_what_was_observed():
    cut = {"complete": False, "ended": "interrupted", "drain_end_ns": at(550)}
    assert two_repetitions(cut, cut).repetitions[0].window_s == pytest.approx(0.35)


def test_a_repetition_that_stopped_in_warm_up_has_reasons_instead_of_values():
    closed = {"complete": False, "ended": "interrupted", "window_start_ns": None, "window_end_ns": None}
    summary = two_repetitions(closed, closed)
    reason = value(summary, "time_to_first_token", "p50").reason
    assert reason == "not available: it stopped before its window opened"


def test_a_point_that_was_never_measured_says_so():
    (summary,) = summarise(manifest([], repetitions=1), table([]))
    assert summary.repetitions == []
    assert value(summary, "goodput").reason == "not available: the point was not measured"


def test_an_unknown_outcome_is_an_error_of_the_folder():
    with pytest.raises(RunFolderError, match="unknown outcome 'fine'"):
        summary_of([row(0, outcome="fine")])


def test_arms_and_repetitions_are_kept_apart():
    rows = [row(0, arm="a"), row(0, arm="b", done_ns=at(500))]
    run = manifest([measurement(1, arm="a"), measurement(1, arm="b")])
    points = [dataclasses.replace(run.points[0], arm=arm) for arm in ("a", "b")]
    first, second = summarise(dataclasses.replace(run, points=points), table(rows))
    assert value(first, "request_latency", "max").value == 81 * MS
    assert value(second, "request_latency", "max").value == 200 * MS


def numbers_of(summary: PointSummary) -> list[float]:
    values = (v for statistics in summary.metrics.values() for v in statistics.values())
    return [-1.0 if v.value is None else v.value for v in values]


@given(rows=rows_of_any_kind(open_loop=False))
@settings(max_examples=30, deadline=None)
def test_how_the_table_lies_in_memory_changes_nothing(rows):
    run, whole = manifest([measurement(len(rows))]), table(rows)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 1), whole.slice(8)])
    (expected,), (found,) = summarise(run, whole), summarise(run, pieces)
    assert numbers_of(found) == pytest.approx(numbers_of(expected), rel=1e-12)
    beside = whole.append_column("later", pa.nulls(whole.num_rows))
    assert summarise(run, beside) == [expected]


def test_rows_out_of_order_are_sorted_into_their_repetitions():
    rows = [row(0, repetition=1), row(0, repetition=2), row(1, repetition=1), row(1, repetition=2)]
    unsorted = pa.Table.from_pylist(rows, schema=table([]).schema)
    run = manifest([measurement(2, repetition=1), measurement(2, repetition=2)])
    (summary,) = summarise(run, unsorted)
    assert [r.cohort for r in summary.repetitions] == [2, 2]


def test_a_rare_first_chunk_of_several_tokens_has_no_time_to_second_token():
    odd = row(199, chunk_offsets_ns=[50 * MS, 80 * MS], chunk_tokens=[2, 2])
    summary = summary_of([row(i) for i in range(199)] + [odd])
    longest = value(summary, "time_to_second_token", "max")
    assert (longest.value, longest.n) == (10 * MS, 199)


def test_answers_that_are_not_streamed_have_throughput_and_latency_but_no_first_token() -> None:
    whole = {"first_token_ns": None, "last_token_ns": None, "chunk_offsets_ns": [], "chunk_tokens": []}
    rows = [row(index, **whole) for index in range(40)]
    run = manifest([measurement(len(rows))])
    run = dataclasses.replace(run, points=[dataclasses.replace(point, streamed=False) for point in run.points])
    (summary,) = summarise(run, table(rows))
    metrics = summary.repetitions[0].metrics
    for name in ("time_to_first_token", "inter_token_latency", "time_per_output_token"):
        (reason,) = {value.reason for value in metrics[name].values()}
        assert reason == "not available: the answers were not streamed"
    streamed = summarise(manifest([measurement(len(rows))]), table([row(index) for index in range(40)]))[0]
    for name in ("request_throughput", "output_token_throughput", "total_token_throughput", "request_latency"):
        values = {statistic: value.value for statistic, value in metrics[name].items()}
        assert any(values.values())
        assert values == {key: value.value for key, value in streamed.repetitions[0].metrics[name].items()}, name
