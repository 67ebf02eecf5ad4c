"""What bound a point, from gauges as TensorRT-LLM's metrics page shows them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from harness.analysis.bound_by import CACHE, COMPUTE, GAUGES, LOAD, QUEUE, SLOTS, TOKENS, bound_by, reading, unbound
from harness.records.schemas import TELEMETRY

NAMES = {name: metric for metric, name in GAUGES.items()}
IDLE = {"active": 4, "slots": 16, "scheduled": 4, "waiting": 0, "used_blocks": 10, "blocks": 100}
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
        ({"active": 24, "scheduled": 16, "waiting": 8}, [SLOTS]),
        ({"active": 16, "scheduled": 16}, []),  # full, but nobody waits
        ({"active": 12, "scheduled": 8, "waiting": 4, "used_blocks": 95}, [CACHE]),
        ({"paused": 2}, [CACHE]),
        ({"context_tokens": 506, "generating": 6}, [TOKENS]),
        ({"context_tokens": 0, "generating": 512}, []),  # no prompt is waiting to be computed
        ({"active": 12, "scheduled": 4, "waiting": 8}, [QUEUE]),
        ({}, []),
    ],
)
def test_each_bound_shows_in_the_gauges(values: dict[str, float], found: list[str]) -> None:
    assert _bounds(**values) == found


def test_an_unknown_max_num_tokens_cannot_bind() -> None:
    assert _bounds(limit=None, context_tokens=506, generating=6) == []


def test_too_few_samples_are_said_to_be_too_few() -> None:
    assert _bounds(samples=1) == ["not available"]


def test_samples_outside_the_windows_do_not_count() -> None:
    crowded = {**IDLE, "active": 24, "scheduled": 16, "waiting": 8}
    telemetry = _telemetry([crowded] * 5 + [IDLE] * 5)
    assert bound_by(reading(telemetry, [(5, 10)]), 512) == []
    assert [bound.by for bound in bound_by(reading(telemetry, [(0, 5)]), 512)] == [SLOTS]


def test_a_server_without_the_gauges_tells_nothing() -> None:
    assert bound_by(reading(TELEMETRY.empty_table(), [(0, 10)]), 512)[0].by == "not available"


def test_what_nothing_held_back_computed_or_had_too_little_load() -> None:
    assert unbound(4, 400.0, None, (16, 450.0)).by == COMPUTE
    assert unbound(4, 400.0, None, (16, 1500.0)).by == LOAD
    assert unbound(16, 450.0, (4, 400.0), None).by == COMPUTE
    assert unbound(4, 400.0, None, None).by == LOAD
