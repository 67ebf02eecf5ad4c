from __future__ import annotations

from tritonclient.grpc import service_pb2

from harness.telemetry.triton_statistics import _row


def message(**extra) -> service_pb2.ModelStatistics:
    entry = service_pb2.ModelStatistics(name="ensemble", version="1", inference_count=5, execution_count=4, **extra)
    entry.inference_stats.success.count, entry.inference_stats.success.ns = 5, 900
    entry.inference_stats.queue.count, entry.inference_stats.queue.ns = 5, 100
    return entry


def test_each_counter_keeps_count_and_duration():
    row = _row(message(), 42)
    assert (row.time_ns, row.model, row.version) == (42, "ensemble", "1")
    assert (row.success_count, row.success_ns, row.queue_count, row.queue_ns) == (5, 900, 5, 100)
    assert (row.inference_count, row.execution_count, row.fail_count) == (5, 4, 0)


def test_what_the_backend_does_not_count_is_none_and_no_counter():
    row = _row(message(), 42)
    assert (row.response_success_count, row.last_inference_ms) == (None, None)
    assert "response_success_count" not in {name for name, _, _ in row.counters()}


def test_responses_are_summed_over_their_places():
    entry = message()
    entry.response_stats["0"].success.count = 5
    entry.response_stats["1"].success.count = 3
    entry.response_stats["1"].cancel.count = 2
    row = _row(entry, 42)
    assert (row.response_success_count, row.response_fail_count, row.response_cancel_count) == (8, 0, 2)


def test_counters_carry_their_unit_and_no_instant():
    counters = {name: (value, unit) for name, value, unit in _row(message(last_inference=1700), 42).counters()}
    assert counters["success_ns"] == (900, "ns")
    assert counters["success_count"] == (5, "count")
    assert not {"time_ns", "last_inference_ms", "model", "version"} & set(counters)
