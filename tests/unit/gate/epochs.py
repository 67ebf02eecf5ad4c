"""Epochs for tests: accepted runs drawn from a seed, and a candidate beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from gate_pairs import CONTINUOUS, ERRORS, HIGHER, LENGTH

from harness.gate.against_epoch import Accepted, judge_metrics
from harness.gate.decision import overall
from harness.gate.pairs import MetricKey
from harness.gate.rule import Rule
from harness.metrics.results import Value

Run = dict[MetricKey, Value]


def run_of(losses: Mapping[MetricKey, float], errors: float = 0.0, length: float = 32.0) -> Run:
    """A run whose continuous metrics are 100, worse by d (ln ratio) where `losses` says so."""
    values = {key: losses.get(key, 0.0) for key in CONTINUOUS}
    made = {key: Value(float(100 * np.exp(-d if key in HIGHER else d)), "", 1000) for key, d in values.items()}
    return made | {ERRORS: Value(errors, "ratio", 1000), LENGTH: Value(length, "tokens", 1000)}


def drawn(random: np.random.Generator, spread: float, loss: float = 0.0) -> Run:
    """A run with normal noise on the four continuous metrics, each of which is worse by `loss`."""
    return run_of({key: random.normal(np.log1p(loss), spread) for key in CONTINUOUS})


def statuses(rule: Rule, runs: Sequence[Run], candidate: Run) -> dict[MetricKey, str]:
    """The verdict by metric."""
    found = judge_metrics(rule, Accepted(runs, 1000 * len(runs)), candidate)
    return {(metric.metric, metric.statistic): metric.status for metric in found}


def gates(rule: Rule, *, n: int, runs: int, spread: float, loss: float, seed: int = 1) -> Iterator[str]:
    """The status of `n` simulated gates over `runs` accepted runs each."""
    random = np.random.default_rng(seed)
    for _ in range(n):
        accepted = [drawn(random, spread) for _ in range(runs)]
        yield overall(list(statuses(rule, accepted, drawn(random, spread, loss)).values()))
