"""How it is asked: a closed loop of users, or an open loop of arrivals (of one tenant or of several)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, field_validator

from harness.scenario.arrivals import Arrivals, listed, rate_levels, without_repeats
from harness.scenario.objective import Objectives
from harness.scenario.strict import Strict, mistake, refuse_same_names
from harness.scenario.surroundings import Headers
from harness.scenario.target import Slug

Levels = Annotated[
    list[PositiveInt],
    BeforeValidator(listed, json_schema_input_type=PositiveInt | list[PositiveInt]),
    AfterValidator(without_repeats),
    Field(min_length=1),
]
_CAP = "most requests in flight; arrivals beyond wait in the client, and that wait counts as latency; default: no bound"


class ClosedLoop(Strict):
    """`concurrency` users: each sends its next request when its last one is done."""

    kind: Literal["closed_loop"] = Field(description="a fixed number of users, each waiting for its answer")
    concurrency: Levels = Field(description="requests in flight; a list measures one point per level")
    max_requests: PositiveInt | None = Field(
        None,
        le=1_000_000,
        description="upper bound of requests per repetition; default: 256 MiB of them, at most 100,000",
    )

    @property
    def number_of_levels(self) -> int:
        """How many points one workload makes."""
        return len(self.concurrency)


class OpenLoop(Strict):
    """Requests are sent at planned instants, however the server is doing."""

    kind: Literal["open_loop"] = Field(description="arrivals that do not wait for answers")
    arrivals: Arrivals = Field(description="when requests arrive")
    concurrency_cap: PositiveInt | None = Field(None, description=_CAP)

    @property
    def number_of_levels(self) -> int:
        """How many points one workload makes: a list of rates makes one each, steps and ramps happen within one."""
        return len(rate_levels(self.arrivals) or [None])


class Tenant(Strict):
    """One of several clients that share the server: with arrivals, headers and objectives of its own."""

    name: Slug = Field(description="name in the records and the report")
    arrivals: Arrivals = Field(description="when this tenant's requests arrive; one rate")
    parts: list[Slug] | None = Field(None, min_length=1, description="parts of the workload it asks; default: all")
    headers: Headers = Field(
        default_factory=dict,
        repr=False,
        exclude=True,  # may hold secrets, as the target's do
        description="metadata sent with each of its requests; secrets only as ${ENV_NAME}",
    )
    objectives: Objectives = Field(default_factory=list, description="must hold for this tenant's requests alone")

    @field_validator("arrivals")
    @classmethod
    def _one_rate(cls, arrivals: Arrivals) -> Arrivals:
        if len(rate_levels(arrivals) or [None]) > 1:
            raise mistake("a tenant has one rate: write one scenario per combination", "request_rate_per_s")
        return arrivals


class MultiTenant(Strict):
    """Several tenants at once, each an open loop of its own: one point per workload."""

    kind: Literal["multi_tenant"] = Field(description="several tenants at once, each with arrivals of its own")
    tenants: list[Tenant] = Field(min_length=1, description="who asks")
    concurrency_cap: PositiveInt | None = Field(None, description=_CAP)

    @property
    def number_of_levels(self) -> int:
        """How many points one workload makes."""
        return 1

    @field_validator("tenants")
    @classmethod
    def _names_differ(cls, tenants: list[Tenant]) -> list[Tenant]:
        refuse_same_names([tenant.name for tenant in tenants], "tenant")
        return tenants


Load = Annotated[ClosedLoop | OpenLoop | MultiTenant, Field(discriminator="kind")]


def arrivals_of(load: Load) -> list[Arrivals]:
    """All arrival processes of a load; none for a closed loop."""
    match load:
        case ClosedLoop():
            return []
        case OpenLoop():
            return [load.arrivals]
        case MultiTenant():
            return [tenant.arrivals for tenant in load.tenants]
