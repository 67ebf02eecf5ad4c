"""What a gate looks at: the values of both arms, pair by pair. A pair is one repetition of each arm, in a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.metrics.results import Value

BASELINE, CANDIDATE = "baseline", "candidate"  # the names of the arms, in records, plans and manifests

MetricKey = tuple[str, str]  # (metric of the catalog, statistic: "p95", "mean", … or POINT_VALUE)


@dataclass(frozen=True)
class Pair:
    """One pair. Times are ns, rates per second, shares 0-1, lengths tokens, as in `metrics.results`."""

    index: int  # from 0: the repetition of both arms
    first: str  # the arm that was measured first
    baseline: Mapping[MetricKey, Value]
    candidate: Mapping[MetricKey, Value]
    invalid: tuple[str, ...] = ()  # why this pair cannot be used: sentences; empty when it can
    baseline_ok: int | None = None  # requests of the cohort that ended `ok`; None: judged by an error ratio of 1
    candidate_ok: int | None = None
