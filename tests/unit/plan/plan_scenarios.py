"""Scenarios for the tests of the plan."""

from __future__ import annotations

from typing import Any

from harness.scenario.schema import Scenario

MIX = {
    "name": "mix",
    "parts": [
        {
            "name": "chat",
            "weight": 3,
            "input_tokens": {"distribution": "lognormal", "median_tokens": 200, "sigma": 0.8, "max_tokens": 2000},
            "output_tokens": {"distribution": "normal", "mean_tokens": 100, "deviation_tokens": 30, "max_tokens": 200},
        },
        {
            "name": "search",
            "input_tokens": {"distribution": "uniform", "min_tokens": 600, "max_tokens": 900},
            "output_tokens": 16,
            "prompts": {"kind": "shared_prefix", "prefixes": 4, "prefix_tokens": 512},
        },
    ],
}


def scenario(workload: Any = MIX, concurrency: Any = (1, 4), max_requests: int | None = 200, **other: Any) -> Scenario:
    """A closed-loop scenario; `other` are fields of the scenario."""
    load = {"kind": "closed_loop", "concurrency": list(concurrency), "max_requests": max_requests}
    return Scenario.model_validate(
        {"version": 1, "name": "trial", "target": {"engine": "cpu-tiny"}, "workload": workload, "load": load, **other}
    )


def fixed(name: str, input_tokens: int, output_tokens: int = 8) -> dict[str, Any]:
    """A workload of one length."""
    return {"name": name, "input_tokens": input_tokens, "output_tokens": output_tokens}


def open_loop(arrivals: Any, workload: Any = MIX, load: Any = None, **other: Any) -> Scenario:
    """An open-loop scenario: 5 s of warm-up, 30 s of window, 120 s of drain, unless `other` says else."""
    load = {"kind": "open_loop", "arrivals": arrivals, **(load or {})}
    return Scenario.model_validate(
        {"version": 1, "name": "trial", "target": {"engine": "cpu-tiny"}, "workload": workload, "load": load, **other}
    )


def tenants(each: list[dict[str, Any]], workload: Any = MIX, **other: Any) -> Scenario:
    """A scenario of several tenants."""
    load = {"kind": "multi_tenant", "tenants": each}
    return Scenario.model_validate(
        {"version": 1, "name": "trial", "target": {"engine": "cpu-tiny"}, "workload": workload, "load": load, **other}
    )
