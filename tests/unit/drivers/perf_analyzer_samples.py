"""A task and plan rows for the tests of the perf_analyzer driver."""

from __future__ import annotations

from harness.drivers.planned import PlannedRow
from harness.drivers.task import Address, MeasurementTask
from harness.truth import models


def task(**changes: object) -> MeasurementTask:
    """A closed-loop task against the truth server's `ensemble`."""
    settings: dict[str, object] = {
        "run_folder": "run",
        "point_id": "all-c4",
        "ordinal": 0,
        "arm": None,
        "repetition": 0,
        "attempt": 1,
        "salt": "salt",
        "prompt_seed": 1,
        "address": Address("127.0.0.1", 8001),
        "model": "ensemble",
        "inputs": offered_by("ensemble"),
        "outputs": {},
        "batched": True,
        "tokenizer": None,
        "concurrency": 4,
        "warm_up_ns": 0,
        "warm_up_requests": 8,
        "window_ns": 10**9,
        "window_requests": None,
        "drain_limit_ns": 10**9,
    }
    return MeasurementTask(**(settings | changes))  # type: ignore[arg-type]


def offered_by(model: str) -> dict[str, str]:
    """The inputs a model of the truth server names, with their types."""
    return {tensor.name: tensor.datatype for tensor in models.MODELS[model].inputs}


def row(number: int = 0, **changes: object) -> PlannedRow:
    """A plan row."""
    fields: dict[str, object] = dict.fromkeys(PlannedRow._fields)
    fields |= {"number": number, "workload_part": "all", "tenant": "default", "input_tokens": 12, "output_tokens": 20}
    fields |= {"timeout_ns": 10**10, "prompt_seed": number % 3}
    return PlannedRow(**(fields | changes))  # type: ignore[arg-type]
