"""What a gate judges, fixed before anything is measured: the point, the metrics that decide, their margins, the looks.

Metric names are those of the catalog; which kind of comparison a metric gets follows from its unit (`gate.declared`).
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from harness.scenario.objective import REQUEST_METRICS, PointMetric, RequestMetric, Statistic
from harness.scenario.strict import Strict, mistake

LEAST_PAIRS = 4  # fewer prove nothing

DistributedMetric = Literal[RequestMetric, "inter_chunk_latency", "inter_token_latency"]
LengthMetric = Literal["output_tokens"]


class GateMetric(Strict):
    """One metric that decides, and the largest loss of it that is tolerated."""

    metric: Literal[DistributedMetric, PointMetric, LengthMetric] = Field(description="what decides")
    statistic: Statistic | None = Field(
        None, description="which value of the distribution, e.g. p95; none for metrics that are one number per point"
    )
    margin: float = Field(
        gt=0,
        le=10,
        description="largest tolerable loss: 0.05 is 5% worse; for shares (error_ratio, attainment) ratio points; for "
        "output_tokens how far the mean length may move either way",
    )

    @model_validator(mode="after")
    def _statistic_fits(self) -> GateMetric:
        distributed = self.metric in (*REQUEST_METRICS, "inter_chunk_latency", "inter_token_latency", "output_tokens")
        if distributed and self.statistic is None:
            raise mistake(f"{self.metric} is a distribution: say which `statistic`, e.g. p95 or mean", "metric")
        if not distributed and self.statistic is not None:
            raise mistake(f"{self.metric} is one number per point: it takes no `statistic`", "statistic")
        return self


def _rising(looks: list[int]) -> list[int]:
    for index, (before, after) in enumerate(itertools.pairwise(looks), start=1):
        if after <= before:
            raise mistake(f"looks come later and later: {after} does not come after {before}", index)
    return looks


def _without_repeats(metrics: list[GateMetric]) -> list[GateMetric]:
    seen = [(each.metric, each.statistic) for each in metrics]
    for index, key in enumerate(seen):
        if key in seen[:index]:
            raise mistake(f"{' '.join(filter(None, key))} stands twice: keep one", index, "metric")
    return metrics


Looks = Annotated[
    list[Annotated[PositiveInt, Field(ge=LEAST_PAIRS, le=1000)]],
    Field(min_length=1, max_length=10),
    AfterValidator(_rising),
]
Metrics = Annotated[list[GateMetric], Field(min_length=1, max_length=20), AfterValidator(_without_repeats)]


class Gate(Strict):
    """How `harness gate` decides on this scenario."""

    point: str | None = Field(
        None, description="id of the point that is judged (`harness plan` lists them); not needed where there is one"
    )
    metrics: Metrics | None = Field(
        None,
        description="the metrics that decide; default: goodput (with bounds on requests), p95 of time_to_first_token "
        "and time_per_output_token, output_token_throughput (5%), error_ratio (0.01), mean output_tokens (10%)",
    )
    alpha: float = Field(
        0.05, gt=0, le=0.25, description="largest chance of a false alarm, and of missing a loss beyond the margin"
    )
    looks: Looks = Field(
        default=[6, 10, 16],
        description="after so many pairs it is decided whether the data suffice; else measured on to the next look",
    )
    time_budget_s: PositiveFloat = Field(
        1800.0, description="no further look is begun that would end later than this; the first one always is"
    )
