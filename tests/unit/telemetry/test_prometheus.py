from __future__ import annotations

import pytest

from harness.telemetry.prometheus import parse, place, unit_of

# Constructed, in the shape of Triton's page (facts: Triton docs/user_guide/metrics.md, tensorrtllm_backend README).
PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="ensemble",version="1"} 12
# HELP nv_inference_request_failure Number of failed inference requests, all batch sizes
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="ensemble",reason="OTHER",version="1"} 1
nv_inference_request_failure{model="ensemble",reason="CANCELED",version="1"} 2
# HELP nv_inference_queue_duration_us Cumulative inference queuing duration in microseconds
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="ensemble",version="1"} 340
# HELP nv_inference_first_response_histogram_ms Duration from request to first response
# TYPE nv_inference_first_response_histogram_ms histogram
nv_inference_first_response_histogram_ms_count{model="ensemble",version="1"} 3
nv_inference_first_response_histogram_ms_sum{model="ensemble",version="1"} 370
nv_inference_first_response_histogram_ms_bucket{model="ensemble",version="1",le="100"} 1
nv_inference_first_response_histogram_ms_bucket{model="ensemble",version="1",le="+Inf"} 3
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us{model="ensemble",version="1",quantile="0.5"} nan
nv_inference_request_summary_us{model="ensemble",version="1",quantile="0.9"} 55
# HELP nv_gpu_power_usage GPU power usage in watts
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-a"} 61.5
# HELP nv_trt_llm_request_metrics TRT LLM request metrics
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 4
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 0
# TYPE trtllm_generation_tokens counter
trtllm_generation_tokens_total{model_name="meta-llama/Llama-3.1-8B",engine_type="pytorch"} 99
# TYPE process_cpu_seconds counter
process_cpu_seconds_total 3
"""


def rows() -> dict[tuple[str, str], tuple[float, str]]:
    return {(row.entity, row.metric): (row.value, row.unit) for row in parse(PAGE, 7)}


def test_counters_keep_the_name_that_the_server_writes():
    assert rows()["ensemble:1", "nv_inference_request_success"] == (12, "count")
    assert rows()["meta-llama/Llama-3.1-8B", "trtllm_generation_tokens_total.engine_type=pytorch"] == (99, "tokens")


def test_a_label_that_tells_the_kind_becomes_the_end_of_the_metric():
    assert rows()["tensorrt_llm:1", "nv_trt_llm_request_metrics.active"] == (4, "requests")
    assert rows()["ensemble:1", "nv_inference_request_failure.CANCELED"] == (2, "count")


def test_a_zero_that_the_server_tells_is_a_value():
    assert rows()["tensorrt_llm:1", "nv_trt_llm_request_metrics.waiting"] == (0, "requests")


def test_nan_is_a_gap():
    assert ("ensemble:1", "nv_inference_request_summary_us.quantile=0.5") not in rows()
    assert rows()["ensemble:1", "nv_inference_request_summary_us.quantile=0.9"] == (55, "us")


def test_histograms_keep_count_sum_and_buckets_apart():
    told = rows()
    name = "nv_inference_first_response_histogram_ms"
    assert told["ensemble:1", f"{name}_sum"] == (370, "ms")
    assert told["ensemble:1", f"{name}_count"] == (3, "count")
    assert told["ensemble:1", f"{name}_bucket.le=100"] == (1, "count")
    assert told["ensemble:1", f"{name}_bucket.le=+Inf"] == (3, "count")


def test_gpu_values_belong_to_the_gpu():
    assert rows()["GPU-a", "nv_gpu_power_usage"] == (61.5, "W")


def test_other_families_are_left_out_and_all_rows_have_the_instant_of_the_page():
    told = list(parse(PAGE, 7))
    assert not any(row.metric.startswith("process_") for row in told)
    assert {row.time_ns for row in told} == {7}


def test_no_two_values_of_a_page_share_a_place():
    told = [(row.entity, row.metric) for row in parse(PAGE, 7)]
    assert len(told) == len(set(told)) == 13


def test_labels_unknown_to_us_keep_their_name_so_that_values_stay_apart():
    assert place("x", {"b": "1", "a": "2"}) == ("server", "x.a=2.b=1")
    assert place("x", {"model": "m"}) == ("m", "x")
    assert place("x", {"model": "m", "version": "3"}) == ("m:3", "x")


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("nv_inference_request_duration_us", "us"),
        ("nv_energy_consumption", "J"),
        ("nv_gpu_utilization", "ratio"),
        ("nv_gpu_memory_used_bytes", "bytes"),
        ("nv_trt_llm_kv_cache_block_metrics.fraction", "ratio"),
        ("nv_trt_llm_kv_cache_block_metrics.used", "blocks"),
        ("nv_trt_llm_runtime_memory_metrics.gpu", "bytes"),
        ("nv_trt_llm_inflight_batcher_metrics.generation_requests", "requests"),
        ("nv_trt_llm_inflight_batcher_metrics.total_context_tokens", "tokens"),
        ("nv_llm_input_token_len_sum.total_input_tokens", "tokens"),
        ("trtllm_e2e_request_latency_seconds_sum", "s"),
        ("trtllm_kv_cache_hit_rate", "ratio"),
        ("nv_inference_count", "count"),
    ],
)
def test_units_follow_from_names(metric, unit):
    assert unit_of(metric) == unit


def test_text_that_is_no_page_is_refused():
    with pytest.raises(ValueError, match="Invalid labels"):
        list(parse('[{"iter": 3, "numActiveRequests": 1}]', 1))
