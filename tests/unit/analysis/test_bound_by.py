"""What bound a point, from gauges as TensorRT-LLM's metrics page shows them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from harness.analysis.bound_by import CACHE, COMPUTE, LOAD, QUEUE, SLOTS, TOKENS, UNKNOWN, bound_by, unbound
from harness.analysis.gauges import TRITON_BACKEND, reading
from harness.records.schemas import TELEMETRY
from harness.telemetry.prometheus import parse

NAMES = {name: metric for metric, name in TRITON_BACKEND.items()}
IDLE = {"slots": 16, "scheduled": 4, "waiting": 0, "used_blocks": 10, "blocks": 100}
IDLE |= {"context_tokens": 0, "generating": 4, "paused": 0}


def _bounds(limit: int | None = 512, samples: int = 10, **values: float) -> list[str]:
    telemetry = _telemetry([{**IDLE, **values}] * samples)
    return [bound.by for bound in bound_by(reading(telemetry, [(0, samples)]), limit)]


def _telemetry(samples: list[dict[str, float]]) -> pa.Table:
    rows = [
        {"time_ns": at, "source": "prometheus", "entity": "tensorrt_llm", "metric": NAMES[name], "value": float(value)}
        | {"unit": "requests"}
        for at, sample in enumerate(samples)
        for name, value in sample.items()
    ]
    return pa.Table.from_pylist(rows, schema=TELEMETRY)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"scheduled": 16, "waiting": 8}, [SLOTS]),
        ({"scheduled": 16}, []),  # full, but nobody waits
        ({"scheduled": 8, "waiting": 4, "used_blocks": 95}, [CACHE]),
        ({"paused": 2}, [CACHE]),
        ({"context_tokens": 506, "generating": 6}, [TOKENS]),
        ({"context_tokens": 0, "generating": 512}, []),  # no prompt is waiting to be computed
        ({"scheduled": 4, "waiting": 8}, [QUEUE]),
        ({}, []),
    ],
)
def test_each_bound_shows_in_the_gauges(values: dict[str, float], found: list[str]) -> None:
    assert _bounds(**values) == found


def test_an_unknown_max_num_tokens_cannot_bind() -> None:
    assert _bounds(limit=None, context_tokens=506, generating=6) == []


def test_too_few_samples_are_said_to_be_too_few() -> None:
    assert _bounds(samples=1) == [UNKNOWN]


def test_samples_outside_the_windows_do_not_count() -> None:
    crowded = {**IDLE, "scheduled": 16, "waiting": 8}
    telemetry = _telemetry([crowded] * 5 + [IDLE] * 5)
    assert bound_by(reading(telemetry, [(5, 10)]), 512) == []
    assert [bound.by for bound in bound_by(reading(telemetry, [(0, 5)]), 512)] == [SLOTS]


TRTLLM_SERVE = """\
# TYPE trtllm_max_batch_size_runtime gauge
trtllm_max_batch_size_runtime{model_name="llama",engine_type="x"} 16
trtllm_num_scheduled_requests{model_name="llama",engine_type="x"} SCHEDULED
trtllm_num_requests_waiting{model_name="llama",engine_type="x"} WAITING
trtllm_kv_cache_max_blocks{model_name="llama",engine_type="x"} 100
trtllm_kv_cache_used_blocks{model_name="llama",engine_type="x"} USED
trtllm_total_context_tokens{model_name="llama",engine_type="x"} CONTEXT
trtllm_num_generation_requests{model_name="llama",engine_type="x"} 6
trtllm_num_paused_requests{model_name="llama",engine_type="x"} 0
trtllm_max_num_tokens_runtime{model_name="llama",engine_type="x"} 512
trtllm_request_success_total{model_name="llama",engine_type="x",finished_reason="length"} 9
"""
TRITON_ALONE = """\
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} PENDING
nv_inference_pending_request_count{model="preprocessing",version="1"} 0
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{model="tensorrt_llm",version="1"} TAKEN
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="tensorrt_llm",version="1"} QUEUED
"""


def _pages(text: str, samples: int = 10, **values: float | list[float]) -> pa.Table:
    """The page as it was read so many times; a list holds a value per time."""
    rows = []
    for at in range(samples):
        page = text
        for name, value in values.items():
            page = page.replace(name, str(value[at] if isinstance(value, list) else value))
        rows += [sample._asdict() for sample in parse(page, at)]
    return pa.Table.from_pylist(rows, schema=TELEMETRY)


@pytest.mark.parametrize(
    ("scheduled", "waiting", "used", "context", "found"),
    [
        (16, 8, 10, 0, [SLOTS]),
        (16, 0, 10, 0, []),
        (8, 4, 95, 0, [CACHE]),
        (8, 0, 10, 506, [TOKENS]),  # against the limit that the page tells
        (4, 8, 10, 0, [QUEUE]),
    ],
)
def test_each_bound_shows_in_the_gauges_of_trtllm_serve_too(
    scheduled: float, waiting: float, used: float, context: float, found: list[str]
) -> None:
    page = _pages(TRTLLM_SERVE, SCHEDULED=scheduled, WAITING=waiting, USED=used, CONTEXT=context)
    assert [bound.by for bound in bound_by(reading(page, [(0, 10)]), None)] == found


def test_behind_the_llm_api_tritons_own_queue_is_told_and_nothing_is_guessed() -> None:
    """Its model registers no gauges: Triton's page knows what waits before it, and no more."""
    growing: dict[str, list[float]] = {"TAKEN": [1000.0 * at for at in range(10)]}
    queued = _pages(TRITON_ALONE, PENDING=3, QUEUED=0, **growing)
    (bound,) = bound_by(reading(queued, [(0, 10)]), 512)
    assert (bound.by, "3.0 requests wait in Triton" in bound.seen) == (QUEUE, True)
    by_time = _pages(TRITON_ALONE, PENDING=0, QUEUED=[600.0 * at for at in range(10)], **growing)
    (bound,) = bound_by(reading(by_time, [(0, 10)]), 512)
    assert (bound.by, "60% of a request's time" in bound.seen) == (QUEUE, True)
    idle = _pages(TRITON_ALONE, PENDING=0, QUEUED=[100.0 * at for at in range(10)], **growing)
    (bound,) = bound_by(reading(idle, [(0, 10)]), 512)
    assert bound.by == UNKNOWN
    assert "no gauge of its engine" in bound.seen
    assert "Triton's own queue held 0.0 requests" in bound.seen


def test_a_page_of_several_engines_is_not_guessed_at() -> None:
    one = TRTLLM_SERVE.replace("SCHEDULED", "16").replace("WAITING", "8").replace("USED", "10").replace("CONTEXT", "0")
    both = _pages(one + one.partition("\n")[2].replace('"x"', '"y"'))
    (bound,) = bound_by(reading(both, [(0, 10)]), 512)
    assert bound.by == UNKNOWN
    assert "2 engines" in bound.seen


def test_a_server_without_a_page_tells_nothing_and_the_reason_is_said() -> None:
    (bound,) = bound_by(reading(TELEMETRY.empty_table(), [(0, 10)], "no metrics_url was given"), 512)
    assert bound.by == UNKNOWN
    assert bound.seen.endswith("in the windows of this point: no metrics_url was given")


def test_what_nothing_held_back_computed_or_had_too_little_load() -> None:
    assert unbound(4, 400.0, None, (16, 450.0)).by == COMPUTE
    assert unbound(4, 400.0, None, (16, 1500.0)).by == LOAD
    assert unbound(16, 450.0, (4, 400.0), None).by == COMPUTE
    assert unbound(4, 400.0, None, None).by == UNKNOWN, "one load has no neighbour to compare with"
