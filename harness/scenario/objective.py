"""Objectives: bounds on metrics. The names are those of the metric catalog, which a test there keeps in step."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, NonNegativeFloat, model_validator

from harness.scenario.strict import Strict, mistake

BOUNDS = ("at_most_ms", "at_least_per_s", "at_most_ratio", "at_least_ratio")

RequestMetric = Literal[
    "time_to_first_token",
    "time_to_first_token_from_send",
    "time_to_second_token",
    "time_per_output_token",
    "request_latency",
    "request_latency_from_send",
    "output_token_throughput_per_user",
]
PointMetric = Literal[
    "request_throughput",
    "output_token_throughput",
    "total_token_throughput",
    "output_token_throughput_per_gpu",
    "total_token_throughput_per_gpu",
    "error_ratio",
    "goodput",
    "attainment",
]
Statistic = Literal["mean", "p50", "p90", "p95", "p99", "p999", "max"]

PERCENTILES = ("p50", "p90", "p95", "p99", "p999")
REQUEST_METRICS: tuple[str, ...] = get_args(RequestMetric)
_RATIO_BOUNDS = {"error_ratio": "at_most_ratio", "attainment": "at_least_ratio"}


def _bound_of(metric: str) -> str:
    """The one bound that makes sense for a metric: times and errors have a ceiling, rates and attainment a floor."""
    if metric in _RATIO_BOUNDS:
        return _RATIO_BOUNDS[metric]
    return "at_least_per_s" if "throughput" in metric or metric == "goodput" else "at_most_ms"


class Objective(Strict):
    """One bound on one metric. On a request metric with `statistic` it also bounds every single request."""

    metric: Literal[RequestMetric, PointMetric] = Field(description="what is bounded")
    statistic: Statistic | None = Field(None, description="which value of the distribution; none: every request")
    at_most_ms: NonNegativeFloat | None = Field(None, description="for times")
    at_least_per_s: NonNegativeFloat | None = Field(None, description="for rates")
    at_most_ratio: float | None = Field(None, ge=0, le=1, description="for ratios, 0 to 1")
    at_least_ratio: float | None = Field(None, ge=0, le=1, description="for ratios, 0 to 1")

    @property
    def bound(self) -> tuple[str, float]:
        """(which bound, its value), e.g. `("at_most_ms", 500.0)`."""
        return next((name, value) for name in BOUNDS if (value := getattr(self, name)) is not None)

    @model_validator(mode="after")
    def _one_fitting_bound(self) -> Objective:
        fitting = _bound_of(self.metric)
        for name in BOUNDS:
            if name != fitting and getattr(self, name) is not None:
                raise mistake(f"{self.metric} is bounded by `{fitting}`", name)
        if getattr(self, fitting) is None:
            raise mistake(f"{self.metric} needs its bound `{fitting}`", "metric")
        if self.statistic is not None and self.metric not in REQUEST_METRICS:
            raise mistake(f"{self.metric} is one number per point: it takes no `statistic`", "statistic")
        return self


def _without_repeats(objectives: list[Objective]) -> list[Objective]:
    asked = [(each.metric, each.statistic) for each in objectives]
    for index, (metric, statistic) in enumerate(asked):
        if (metric, statistic) in asked[:index]:
            raise mistake(f"{statistic or 'a bound'} of {metric} stands twice: keep one", index, "metric")
    return objectives


Objectives = Annotated[list[Objective], AfterValidator(_without_repeats)]
