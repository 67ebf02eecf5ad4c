"""Pairs for tests: drawn from a seed, one value per arm and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.gate.methods import gated
from harness.gate.pairs import BASELINE, CANDIDATE, MetricKey, Pair
from harness.gate.rule import Rule
from harness.metrics.results import Value

GOODPUT: MetricKey = ("goodput", "value")
TTFT: MetricKey = ("time_to_first_token", "p95")
TPOT: MetricKey = ("time_per_output_token", "p95")
TOKENS: MetricKey = ("output_token_throughput", "value")
ERRORS: MetricKey = ("error_ratio", "value")
LENGTH: MetricKey = ("output_tokens", "mean")
CONTINUOUS = (GOODPUT, TTFT, TPOT, TOKENS)
HIGHER = (GOODPUT, TOKENS)  # is better
STEADY = {ERRORS: 0.0, LENGTH: 32.0}


def whole_rule(**changes: object) -> Rule:
    """Six metrics, margins 5%, 0.01 and 10%."""
    return Rule(tuple(gated(*key) for key in (*CONTINUOUS, ERRORS, LENGTH)), **changes)  # type: ignore[arg-type]


def drawn(pairs: int, seed: int = 1, loss: Mapping[MetricKey, float] | None = None, spread: float = 0.03) -> list[Pair]:
    """Pairs whose d is normal around ln(1 + loss); errors 0 and lengths equal in both arms."""
    draw = np.random.default_rng(seed)
    found = []
    for index in range(pairs):
        baseline = {key: Value(100.0, "ns", 100) for key in CONTINUOUS} | _steady()
        candidate = dict(baseline)
        for key in CONTINUOUS:
            d = draw.normal(np.log1p((loss or {}).get(key, 0.0)), spread)
            candidate[key] = Value(float(100 * np.exp(-d if key in HIGHER else d)), "ns", 100)
        found.append(Pair(index, (BASELINE, CANDIDATE)[index % 2], baseline, candidate))
    return found


def of(key: MetricKey, values: Sequence[tuple[float, float]]) -> list[Pair]:
    """Pairs of one metric: (baseline, candidate) each."""
    return [
        Pair(index, BASELINE, {key: Value(a, "ns", 100)}, {key: Value(b, "ns", 100)})
        for index, (a, b) in enumerate(values)
    ]


def _steady() -> dict[MetricKey, Value]:
    return {key: Value(value, "ratio", 100) for key, value in STEADY.items()}
