"""How many requests are beyond an objective's limit: what the early-stopping test counts.

A request that failed, or ended without the event, is beyond the limit. A planned cancellation counts where it reached
the event, and nowhere else. Requests of one window are not independent: `factor` says by how much their number has to
be divided (`clustering`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.clustering import clustering, judge_clustered
from harness.analysis.early_stopping import Decision
from harness.metrics.bounds import Bound
from harness.metrics.catalog import METRICS
from harness.metrics.repetition import Repetition
from harness.metrics.request import Column

# statistic → share of the requests that must be within the limit
SHARES: Mapping[str | None, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class Counted:
    """`over` of `n` cohort requests are beyond the limit; they are worth n / `factor` independent ones."""

    over: int
    n: int
    factor: float = 1.0


def counted(r: Repetition, bound: Bound, share: float) -> Counted:
    """The counts of one repetition. `bound`: of a request-level metric. `share`: of requests that must be within it."""
    column = METRICS[bound.metric].formula(r)
    assert isinstance(column, Column)
    judged = (column.observed | column.unobserved) & r.cohort
    order = np.argsort(r.origin_ns[judged], kind="stable")
    seen, values = column.observed[judged][order], column.values[judged][order]
    over = ~(seen & bound.fits(values, bound.limit))
    sign = 1.0 if bound.bound.startswith("at_most") else -1.0
    factor = clustering(np.where(seen, sign * values, np.inf), over, share, sign * bound.limit)
    return Counted(int(over.sum()), int(over.size), factor)


def judge_counts(counts: Sequence[Counted], share: float, confidence: float) -> Decision:
    """`held`, `lost` or `undecided` over all repetitions: counts may be added, percentiles may not."""
    over = sum(one.over / one.factor for one in counts)
    n = sum(one.n / one.factor for one in counts)
    return judge_clustered(over, n, share, confidence, 1.0)


def enough(counts: Sequence[Counted], share: float, confidence: float) -> int | None:
    """So many requests in all would decide if the share beyond the limit stayed as it is; None: no number would."""
    over, n = sum(one.over for one in counts), sum(one.n for one in counts)
    if n == 0 or over / n == 1 - share:
        return None
    for times in range(1, 1001):
        grown = [Counted(times * one.over, times * one.n, one.factor) for one in counts]
        if judge_counts(grown, share, confidence) != "undecided":
            return times * n
    return None
