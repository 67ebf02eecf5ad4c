"""The scenario: one YAML file that says what is measured, under which load, for how long, and what is good enough.

Durations are seconds (`_s`). Every value a person can write has its bounds here; the loader turns what breaks them into
messages with file, line and field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from harness.scenario.agreement import refuse_misfits
from harness.scenario.arrivals import rate_levels
from harness.scenario.durations import longest_s
from harness.scenario.gate import Gate
from harness.scenario.load import ClosedLoop, Load, MultiTenant, OpenLoop, Tenant
from harness.scenario.objective import PERCENTILES, Objectives
from harness.scenario.size import Size
from harness.scenario.strict import Strict, mistake, refuse_same_names
from harness.scenario.surroundings import surroundings_of
from harness.scenario.target import AttachTarget, EngineTarget, Slug
from harness.scenario.vary import Vary
from harness.scenario.workload import Workload, Workloads

SCHEMA_VERSION = 1


def _target_kind(value: Any) -> str:
    """The tag of the union's member; no key of a file can read like it, so that locations stay unambiguous."""
    if isinstance(value, AttachTarget) or (isinstance(value, dict) and "attach" in value):
        return "server to attach to"
    return "engine to start"


Target = Annotated[
    Annotated[EngineTarget, Tag("engine to start")] | Annotated[AttachTarget, Tag("server to attach to")],
    Discriminator(_target_kind),
]


class Phases(Strict):
    """Warm-up, window and drain of one repetition; the load is the same in all three."""

    warm_up_s: NonNegativeFloat = Field(
        5.0, description="at least this long, and in a closed loop at least 2 x concurrency requests"
    )
    window_s: PositiveFloat | None = Field(None, description="length of the measured interval; default 30")
    window_requests: PositiveInt | None = Field(None, description="instead of window_s: so many requests")
    drain_limit_s: PositiveFloat | None = Field(
        None, description="how long to wait for the last answers; default: the request timeout"
    )

    @property
    def window_length_s(self) -> float | None:
        """The window in seconds; None when it is measured in requests."""
        return None if self.window_requests is not None else (self.window_s or 30.0)

    @model_validator(mode="after")
    def _one_window(self) -> Phases:
        if self.window_s is not None and self.window_requests is not None:
            raise mistake("window_s and window_requests exclude each other: keep one", "window_requests")
        return self


class Request(Strict):
    """Settings of every single request."""

    trace_share: float = Field(
        0.0, ge=0, le=1, description="share of the requests that carry a W3C `traceparent`, for traces of the server"
    )
    timeout_s: PositiveFloat = Field(120.0, description="a request not done by then counts as `timeout`")
    stream: bool = Field(
        True,
        description="tokens are streamed as they are made; false: one response at the end, and no time to first token",
    )


class LoadGenerator(Strict):
    """How many processes of this host carry the load."""

    processes: PositiveInt = Field(1, le=256, description="worker processes; one is enough for most loads")


class Telemetry(Strict):
    """What is sampled beside the load. A source that is not there is reported as not available, never as zero."""

    period_s: PositiveFloat = Field(1.0, ge=0.1, description="time between two samples of a source")
    nvml: bool = Field(True, description="GPUs of this host, through NVML")
    metrics: bool = Field(True, description="Triton's metrics page")
    statistics: bool = Field(True, description="Triton's per-model statistics before and after each window")
    host: bool = Field(True, description="CPU and memory of load generator and server")


class Scenario(Strict):
    """One scenario file."""

    version: Literal[1] = Field(description="version of this schema")
    name: Slug = Field(description="name in run folders, reports and baselines")
    description: str = Field("", description="one or two sentences for the report")
    target: Target = Field(description="the server under test")
    vary: Vary | None = Field(
        None,
        description="settings of the engine, each with the values to measure; every combination is one deployment "
        "(harness sweep)",
    )
    workload: Workloads = Field(description="what is asked; each workload of a list is measured at each load level")
    load: Load = Field(description="how it is asked")
    size: Size | None = Field(
        None, description="search the highest load that meets the objectives (harness size); `load` says of which kind"
    )
    phases: Phases = Field(Phases(), description="warm-up, window and drain of each repetition")
    request: Request = Field(Request(), description="settings of every single request")
    driver: Literal["locust", "perf_analyzer"] = Field(
        "locust", description="what sends the load: ours inside Locust, or NVIDIA's perf_analyzer (harness tools)"
    )
    repetitions: PositiveInt = Field(1, le=1000, description="identical measurements of every point")
    seed: int = Field(1, ge=0, lt=2**63, description="everything drawn at random follows from it")
    objectives: Objectives = Field(default_factory=list, description="all must hold")
    gate: Gate = Field(Gate(), description="how `harness gate` decides whether a candidate is slower")
    telemetry: Telemetry = Field(Telemetry(), description="what is sampled beside the load")
    load_generator: LoadGenerator = Field(LoadGenerator(), description="the processes that carry the load")

    @property
    def number_of_points(self) -> int:
        """Cells of the matrix workload x load level; each is measured `repetitions` times."""
        return len(self.workload) * self.load.number_of_levels

    @property
    def tenants(self) -> list[Tenant]:
        """The tenants of a `multi_tenant` load; empty for other loads, whose requests are all of tenant `default`."""
        return self.load.tenants if isinstance(self.load, MultiTenant) else []

    @property
    def longest_timeout_s(self) -> float:
        """The longest timeout that any request can have."""
        parts = [part for workload in self.workload for part in workload.parts]
        own = [self.request.timeout_s if part.timeout_s is None else longest_s(part.timeout_s) for part in parts]
        return max(own)

    @property
    def drain_limit_s(self) -> float:
        """How long the drain lasts at most: as written, else the longest timeout."""
        return self.phases.drain_limit_s or self.longest_timeout_s

    @field_validator("workload")
    @classmethod
    def _names_differ(cls, workloads: list[Workload]) -> list[Workload]:
        refuse_same_names([workload.name for workload in workloads], "workload")
        return workloads

    @model_validator(mode="after")
    def _only_an_engine_varies(self) -> Scenario:
        if self.vary is not None and isinstance(self.target, AttachTarget):
            raise mistake(
                "only an engine that the harness starts can be given other settings: use target.engine", "vary"
            )
        return self

    @model_validator(mode="after")
    def _a_search_has_something_to_search(self) -> Scenario:
        if self.size is None:
            return self
        if len(self.workload) > 1:
            raise mistake("searches for one workload: write one scenario per workload", "size")
        if isinstance(self.load, ClosedLoop):
            if self.size.lowest % 1 or self.size.highest % 1:
                raise mistake("requests in flight are whole numbers: lowest and highest too", "size", "lowest")
        elif not isinstance(self.load, OpenLoop) or rate_levels(self.load.arrivals) is None:
            raise mistake("needs a closed loop, or arrivals with a request_rate_per_s", "load")
        if self.size.mode == "objectives" and not any(o.statistic in PERCENTILES for o in self.objectives):
            words = "needs an objective with a percentile, e.g. {metric: time_to_first_token, statistic: p90, …}"
            raise mistake(words, "size")
        return self

    @model_validator(mode="after")
    def _load_fits_the_rest(self, info: ValidationInfo) -> Scenario:
        refuse_misfits(self.load, self.workload, self.phases.window_length_s, surroundings_of(info) is not None)
        return self

    @model_validator(mode="after")
    def _one_process_closes_a_window_of_requests(self) -> Scenario:
        several = self.load_generator.processes > 1
        if several and self.phases.window_requests is not None and isinstance(self.load, ClosedLoop):
            message = "a closed-loop window of requests needs one process: workers cannot agree on the N-th send"
            raise mistake(message, "load_generator", "processes")
        return self

    @model_validator(mode="after")
    def _window_can_be_filled(self) -> Scenario:
        wanted, load = self.phases.window_requests, self.load
        if wanted is None or not isinstance(load, ClosedLoop) or load.max_requests is None:
            return self
        needed = wanted + 2 * max(load.concurrency)
        if load.max_requests < needed:
            message = f"{load.max_requests} requests are not enough: warm-up (2 x concurrency) and window take {needed}"
            raise mistake(message, "load", "max_requests")
        return self
