"""From an export to rows. Shapes and garbage as perf_analyzer 2.51.0 wrote them against the truth server."""

from __future__ import annotations

import pytest
from perf_analyzer_samples import row as _row
from perf_analyzer_samples import task as _task

from harness.drivers.perf_analyzer import rows, wall_clock
from harness.drivers.perf_analyzer.child import failure
from harness.drivers.perf_analyzer.cut import Cut, Span, cut
from harness.drivers.perf_analyzer.export import Reply, replies
from harness.drivers.perf_analyzer.extent import closed_count, open_count
from harness.errors import DriverFailed, TargetNotReady

MS = 1_000_000
GARBAGE = 140_499_066_875_614
ASKED = {"text_input": "p", "max_tokens": 3, "return_num_output_tokens": True, "return_num_input_tokens": True}


def _response(text: str, tokens: int, input_tokens: int = 4, **more: int) -> dict[str, object]:
    times = dict.fromkeys(("arrival_time_ns", "first_scheduled_time_ns", "last_token_time_ns"), GARBAGE)
    return {"text_output": text, "num_output_tokens": tokens, "num_input_tokens": input_tokens, **times, **more}


def _export(inputs: dict[str, object], outputs: list[dict[str, object]]) -> dict[str, object]:
    stamps = [1000 + 10 * number for number in range(len(outputs))]
    request = {
        "timestamp": 900,
        "request_inputs": inputs,
        "response_timestamps": stamps,
        "response_outputs": outputs,
    }
    return {"experiments": [{"experiment": {"mode": "concurrency", "value": 1}, "requests": [request]}]}


def _only(export: dict[str, object]) -> Reply:
    (reply,) = replies(export)
    return reply


def test_counts_and_stamps_of_a_plain_answer() -> None:
    reply = _only(_export(ASKED, [_response(" a", 1), _response(" b", 2)]))
    assert (reply.chunk_stamps_ns, reply.chunk_tokens) == ([1000, 1010], [1, 2])
    assert (reply.sent_ns, reply.done_ns, reply.counted_by, reply.input_tokens) == (900, 1010, "server", 4)


def test_the_empty_final_response_is_no_chunk_but_ends_the_request() -> None:
    empty = _response("", -2147483472, input_tokens=-2147483472)
    reply = _only(_export(ASKED, [_response(" a", 1), _response(" b", 1), empty]))
    assert (reply.chunk_tokens, reply.done_ns) == ([1, 1], 1020)


def test_garbage_that_looks_like_a_count_is_told_by_the_input_count() -> None:
    empty = _response("", 2, input_tokens=32759)
    assert _only(_export(ASKED, [_response(" a", 1), empty])).chunk_tokens == [1]


def test_a_last_token_without_text_stays_a_token() -> None:
    assert _only(_export(ASKED, [_response(" a", 1), _response("", 1)])).chunk_tokens == [1, 1]


def test_an_empty_first_chunk_carries_no_token() -> None:
    assert _only(_export(ASKED, [_response("", 0), _response(" a", 1)])).chunk_tokens == [0, 1]


def test_a_count_nobody_asked_for_is_not_believed() -> None:
    reply = _only(_export({"text_input": "p", "max_tokens": 9}, [_response(" a", 7), _response(" b", 7)]))
    assert (reply.chunk_tokens, reply.counted_by, reply.input_tokens) == ([1, 1], None, None)


def test_server_times_are_taken_only_when_asked_for_and_in_order() -> None:
    times = {"arrival_time_ns": 1, "first_scheduled_time_ns": 2, "first_token_time_ns": 3, "last_token_time_ns": 4}
    asked = {**ASKED, "return_perf_metrics": True}
    assert _only(_export(asked, [_response(" a", 1, **times)])).server_times_ns == (1, 2, 3, 4)
    assert _only(_export(ASKED, [_response(" a", 1, **times)])).server_times_ns is None
    assert _only(_export(asked, [_response(" a", 1, **{**times, "arrival_time_ns": 9})])).server_times_ns is None


def test_an_empty_final_response_of_the_id_model_is_told_by_ids_and_length_that_do_not_fit() -> None:
    good: dict[str, object] = {"output_ids": 1000, "sequence_length": 1}
    for length in (0, -1006632816, 636351847):
        empty: dict[str, object] = {"output_ids": 0, "sequence_length": length}
        reply = _only(_export({"input_ids": [1, 2], "request_output_len": 3}, [good, good, empty]))
        assert (reply.chunk_tokens, reply.done_ns) == ([1, 1], 1020)


def test_token_ids_count_themselves() -> None:
    outputs: list[dict[str, object]] = [{"output_ids": [5, 6]}, {"output_ids": ""}, {"output_ids": 7}]
    reply = _only(_export({"input_ids": [1, 2], "request_output_len": 3}, outputs))
    assert (reply.chunk_tokens, reply.counted_by) == ([2, 0, 1], "ids")


@pytest.mark.parametrize("broken", [{}, {"experiments": [{"requests": [{}]}]}, _export({"other": 1}, [])])
def test_an_export_of_another_shape_is_a_clear_error(broken: dict[str, object]) -> None:
    with pytest.raises(DriverFailed, match="cannot be read"):
        replies(broken)


def _reply(key: str, sent: int = 0, stamps: tuple[int, ...] = (50 * MS, 60 * MS)) -> Reply:
    return Reply(key, sent, max(stamps), list(stamps), [1] * len(stamps), "server", 12)


def test_a_reply_that_was_not_planned_or_came_twice_is_refused() -> None:
    with pytest.raises(DriverFailed, match="not in the plan"):
        rows.match([_reply("x")], {"a": [_row()]}, int)
    with pytest.raises(DriverFailed, match="twice"):
        rows.match([_reply("a"), _reply("a")], {"a": [_row()]}, int)


def test_a_text_that_stands_twice_in_the_plan_takes_its_rows_in_order_of_sending() -> None:
    found = rows.match([_reply("a", sent=9), _reply("a", sent=5)], {"a": [_row(3), _row(4)]}, int)
    assert [(each.row.number, each.sent_ns) for each in found] == [(3, 5), (4, 9)]


def test_a_request_over_its_timeout_is_cut_there_and_keeps_what_had_come() -> None:
    phases = Cut(0, 0, 10**9, 2 * 10**9, "window_over")
    late, fine = _row(0, timeout_ns=55 * MS), _row(1)
    found = rows.match([_reply("a"), _reply("b")], {"a": [late], "b": [fine]}, int)
    first, second = rows.table(_task(), found, phases, input_tokens_exact=False).to_pylist()
    assert (first["outcome"], first["done_ns"], first["chunk_tokens"]) == ("timeout", 55 * MS, [1])
    assert first["error"] == "no final answer within the timeout"
    assert (second["outcome"], second["done_ns"], second["output_tokens_server"]) == ("ok", 60 * MS, 2)
    assert second["first_token_ns"] == 50 * MS
    assert second["chunk_offsets_ns"] == [50 * MS, 60 * MS]


def test_a_cohort_request_that_outlasts_the_drain_is_a_timeout() -> None:
    phases = Cut(0, 0, 40 * MS, 55 * MS, "window_over")
    (row,) = rows.table(
        _task(), rows.match([_reply("a")], {"a": [_row()]}, int), phases, input_tokens_exact=True
    ).to_pylist()
    assert (row["outcome"], row["error"], row["done_ns"]) == ("timeout", "not done within the drain limit", 55 * MS)


def _spans(count: int, every: int = 10 * MS, latency: int = 40 * MS) -> list[Span]:
    return [Span(number * every, number * every + latency) for number in range(count)]


def test_the_window_opens_after_its_time_and_its_requests_whichever_is_later() -> None:
    by_requests = cut(_task(warm_up_ns=0, warm_up_requests=8, window_ns=100 * MS), 0, _spans(100), closed=True)
    assert by_requests.window_start_ns == 7 * 10 * MS + 40 * MS
    by_time = cut(_task(warm_up_ns=500 * MS, warm_up_requests=8, window_ns=100 * MS), 0, _spans(100), closed=True)
    assert (by_time.window_start_ns, by_time.window_end_ns) == (500 * MS, 600 * MS)
    assert by_time.ended == "window_over"
    assert [by_time.phase(at * MS) for at in (499, 500, 599, 600)] == ["warm_up", "window", "window", "drain"]


def test_an_open_loop_opens_its_window_by_time_alone() -> None:
    phases = cut(_task(warm_up_ns=20 * MS, warm_up_requests=8, window_ns=100 * MS), 0, _spans(100), closed=False)
    assert phases.window_start_ns == 20 * MS


def test_a_window_of_n_requests_holds_exactly_n() -> None:
    task = _task(warm_up_ns=0, warm_up_requests=1, window_ns=None, window_requests=37)
    phases = cut(task, 0, _spans(100), closed=True)
    assert sum(phases.phase(span.origin_ns) == "window" for span in _spans(100)) == 37


def test_a_closed_loop_that_ran_out_closes_its_window_at_the_last_send() -> None:
    phases = cut(_task(warm_up_ns=0, warm_up_requests=1, window_ns=10**10), 0, _spans(20), closed=True)
    assert (phases.window_end_ns, phases.ended) == (190 * MS + 1, "max_requests")
    too_short = cut(_task(warm_up_ns=10**10, window_ns=MS), 0, _spans(20), closed=True)
    assert (too_short.window_start_ns, too_short.ended) == (None, "max_requests")


def test_the_drain_ends_with_the_cohort_or_at_its_limit() -> None:
    task = _task(warm_up_ns=0, warm_up_requests=1, window_ns=100 * MS, drain_limit_ns=10**9)
    assert cut(task, 0, _spans(100), closed=True).drain_end_ns == 130 * MS + 40 * MS
    slow = cut(task, 0, _spans(100, latency=10**11), closed=False)
    assert slow.drain_end_ns == slow.window_end_ns + 10**9


def test_the_count_covers_warm_up_and_window_at_the_rehearsed_pace() -> None:
    task = _task(concurrency=4, warm_up_ns=10**9, window_ns=4 * 10**9)
    assert closed_count(task, [100 * MS] * 12) >= 5 * 40 + 8
    assert closed_count(_task(warm_up_ns=0, window_ns=None, window_requests=37), []) == 8 + 37 + 8


def test_an_open_loop_sends_until_a_little_after_the_window() -> None:
    offsets = [100 * MS * number for number in range(1000)]
    task = _task(concurrency=None, warm_up_ns=10**9, window_ns=2 * 10**9, drain_limit_ns=10**9)
    assert open_count(task, offsets) == 40
    counted = _task(concurrency=None, warm_up_ns=10**9, window_ns=None, window_requests=7)
    assert open_count(counted, offsets) == 10 + 7


def test_a_step_of_the_wall_clock_is_within_the_stated_bound() -> None:
    before = wall_clock.Reading(wall_ns=10**9, offset_ns=5 * 10**8, half_width_ns=40)
    after = wall_clock.Reading(wall_ns=2 * 10**9, offset_ns=5 * 10**8 + 3 * MS, half_width_ns=50)
    clock = wall_clock.WallClock(before, after)
    assert clock.bound_ns == 3 * MS + 50
    assert clock.to_monotonic_ns(10**9) == 5 * 10**8
    assert clock.to_monotonic_ns(2 * 10**9) == 2 * 10**9 - after.offset_ns
    for true_offset in (before.offset_ns, after.offset_ns):  # wherever the step fell
        middle = 15 * 10**8
        assert abs(clock.to_monotonic_ns(middle) - (middle - true_offset)) <= clock.bound_ns


def test_both_clocks_are_read_close_together() -> None:
    assert 0 < wall_clock.read().half_width_ns < 10 * MS


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (99, "failed to connect to all addresses", TargetNotReady, "cannot reach the server"),
        (99, "Thread [1] had error: boom", DriverFailed, "gives up at the first request"),
        (2, "", DriverFailed, "no stable measurement"),
        (3, "", DriverFailed, "no valid request"),
        (-11, "", DriverFailed, "killed by signal 11"),
        (7, "", DriverFailed, "does not document"),
    ],
)
def test_exit_codes_say_what_happened(code: int, said: str, kind: type[Exception], words: str, tmp_path) -> None:
    error = failure(code, said, tmp_path / "log")
    assert isinstance(error, kind)
    assert words in str(error)
