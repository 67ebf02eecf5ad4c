"""The answer of a campaign over several deployments, as values: what every one gave, what bound it, which one wins.

Made by `harness.assess.answer`, shown by `harness.report.answer`. Rates are per second and per divisor (GPU or
server); times are ns, as in `metrics.results`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.analysis.bound_by import Bound
from harness.analysis.pareto import Recommendation
from harness.metrics.results import Value

GPU, SERVER = "gpu", "server"  # what rates are divided by
NOT_FINISHED = "not finished"  # how the reason begins why a pruned configuration is not recommended


@dataclass(frozen=True)
class AnswerPoint:
    """One point of one configuration."""

    point_id: str
    load: str  # in words: `concurrency 16`
    level: float
    validity: str
    throughput: Value  # output tokens/s per divisor
    maximised: Value  # what the recommendation maximises, per divisor: the same, or goodput
    per_user: Value  # output tokens/s per user, p50
    time_to_first_token: Value  # at `Answer.statistic`
    bounds: list[Bound]
    why_not: str | None  # why it may not be recommended
    close: str | None = None  # an objective that is met, but whose interval reaches over the limit
    slack: float | None = None  # least limit / observed - 1 over objectives on times; below 0 where one is missed


@dataclass(frozen=True)
class Configuration:
    """One deployment with its points of one workload, by rising load. `failure`: why it has none."""

    deployment_id: str
    label: str  # the settings in words
    varied: Mapping[str, Any]
    engine_name: str | None
    failure: str | None
    pruned: str | None
    points: list[AnswerPoint] = field(default_factory=list)


@dataclass(frozen=True)
class Drift:
    """How the reference point came out at each visit. Spreads: largest / smallest - 1.

    `spread` is None where drift is not known: below two visits, or where the reference gave nothing at one of them.
    """

    point_id: str
    values: list[float]  # `metric`, by visit, per server
    spread: float | None
    metric: str = "output_token_throughput"  # what the recommendation maximises, as far as the reference has it
    first_token_spread: float | None = None  # of TTFT p50
    is_invalid: bool = False


@dataclass(frozen=True)
class WorkloadAnswer:
    """The answer for one workload."""

    workload: str
    configurations: list[Configuration]
    recommendation: Recommendation
    fronts: Mapping[str, list[str]]  # "per_user", "time_to_first_token" → point ids on the Pareto front
    next_steps: list[str]
    warnings: list[str]

    def point(self, point_id: str | None) -> AnswerPoint | None:
        """The point with this id."""
        return next((p for c in self.configurations for p in c.points if p.point_id == point_id), None)

    def configuration(self, deployment_id: str | None) -> Configuration | None:
        """The configuration with this id."""
        return next((c for c in self.configurations if c.deployment_id == deployment_id), None)


@dataclass(frozen=True)
class Answer:
    """The whole answer."""

    divisor: str  # GPU or SERVER
    maximised: str  # metric of the catalog
    statistic: str  # of time to first token: the highest percentile that is available
    objectives: list[str]
    drift: Drift | None
    workloads: list[WorkloadAnswer]
