"""Formulas of the point-level metrics: one number per repetition.

Rates are of the interval [window start, window end) and count what arrived in it, whoever sent the request. Ratios and
goodput are of the cohort. Rates are per second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.metrics.bounds import Bound
from harness.metrics.columns import FAILURES, Flags
from harness.metrics.repetition import Repetition
from harness.metrics.request import FORMULAS, Column
from harness.metrics.results import POINT_VALUE, Statistics, Value
from harness.records.schemas import OUTCOMES


def request_throughput(r: Repetition) -> Statistics:
    """Requests that ended well in the window, per second."""
    done = int((r.window.holds(r.rows.done_ns) & r.rows.ok).sum())
    return _rate(r, done, done)


def output_token_throughput(r: Repetition) -> Statistics:
    """Output tokens whose chunk arrived in the window, per second."""
    tokens = r.window_output_tokens
    return _rate(r, tokens, round(tokens))


def total_token_throughput(r: Repetition) -> Statistics:
    """The same plus the input tokens of requests whose first token (or answer) arrived in the window."""
    first = r.window.holds(r.first_arrival_ns)
    tokens = r.window_output_tokens + int(r.input.tokens[first].sum())
    return _rate(r, tokens, round(tokens))


def output_token_throughput_per_gpu(r: Repetition) -> Statistics:
    """Output token throughput / GPU count."""
    return _per_gpu(r, output_token_throughput(r))


def total_token_throughput_per_gpu(r: Repetition) -> Statistics:
    """Total token throughput / GPU count."""
    return _per_gpu(r, total_token_throughput(r))


def error_ratio(r: Repetition) -> Statistics:
    """Failed requests of the cohort / cohort, in all and by outcome. A planned cancellation is no failure."""
    cohort = int(r.cohort.sum())
    counts = {name: int((r.rows.outcome[r.cohort] == OUTCOMES.index(name)).sum()) for name in FAILURES}
    return {name: _ratio(count, cohort) for name, count in {POINT_VALUE: sum(counts.values()), **counts}.items()}


def goodput(r: Repetition) -> Statistics:
    """Cohort requests that ended well within every per-request bound, per second."""
    good = int((meets_all(r) & r.cohort).sum())
    return _rate(r, good, int(r.cohort.sum()))


def attainment(r: Repetition) -> Statistics:
    """The same requests as a share of the cohort, planned cancellations left out of both."""
    judged = r.cohort & ~r.rows.cancelled
    return {POINT_VALUE: _ratio(int((meets_all(r) & judged).sum()), int(judged.sum()))}


def meets_all(r: Repetition) -> Flags:
    """Which requests ended well and within every bound; a metric that is undefined for a request cannot be broken."""
    return meets(r, r.bounds)


def meets(r: Repetition, bounds: Sequence[Bound]) -> Flags:
    """Which requests ended well and within these bounds."""
    good = r.rows.ok
    for bound in bounds:
        good = good & _meets(bound, FORMULAS[bound.metric](r))
    return good


def _meets(bound: Bound, column: Column) -> Flags:
    fits = bound.fits(column.values, bound.limit)
    return np.where(column.observed, fits, ~column.unobserved)


def _rate(r: Repetition, amount: float, n: int) -> Statistics:
    return {POINT_VALUE: Value(amount / r.window.length_s, "per_s", n)}


def _per_gpu(r: Repetition, rate: Statistics) -> Statistics:
    whole, gpus = rate[POINT_VALUE], r.deployment.gpu_count or 1
    return {POINT_VALUE: Value((whole.value or 0.0) / gpus, whole.unit, whole.n)}


def _ratio(count: int, total: int) -> Value:
    if total == 0:
        return Value(None, "ratio", 0, reason="no data: no requests to count")
    return Value(count / total, "ratio", total)
