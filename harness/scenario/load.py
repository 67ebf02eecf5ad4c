"""How it is asked: a closed loop of users, or an open loop of arrivals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt

from harness.scenario.strict import Strict, mistake
from harness.scenario.surroundings import LocalFile


def _listed(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if is_number else value


def _without_repeats(levels: list[Any]) -> list[Any]:
    for index, level in enumerate(levels):
        if level in levels[:index]:
            raise mistake(f"{level} stands twice: each level is measured once, use `repetitions` for more", index)
    return levels


Levels = Annotated[
    list[PositiveInt],
    BeforeValidator(_listed, json_schema_input_type=PositiveInt | list[PositiveInt]),
    AfterValidator(_without_repeats),
    Field(min_length=1),
]
Rates = Annotated[
    list[PositiveFloat],
    BeforeValidator(_listed, json_schema_input_type=PositiveFloat | list[PositiveFloat]),
    AfterValidator(_without_repeats),
    Field(min_length=1),
]

StepRates = Annotated[list[PositiveFloat], Field(min_length=1)]  # may come back to a rate


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


class ConstantArrivals(Strict):
    """Evenly spaced arrivals."""

    process: Literal["constant"] = Field(description="evenly spaced")
    request_rate_per_s: Rates = Field(description="intended arrivals per second; a list measures one point per rate")


class PoissonArrivals(Strict):
    """Independent arrivals: exponential gaps."""

    process: Literal["poisson"] = Field(description="independent of each other")
    request_rate_per_s: Rates = Field(description="intended arrivals per second; a list measures one point per rate")


class GammaArrivals(Strict):
    """Gamma-distributed gaps; `burstiness` is the shape: below 1 burstier than Poisson, above 1 more regular."""

    process: Literal["gamma"] = Field(description="burstier or more regular than poisson")
    request_rate_per_s: Rates = Field(description="intended arrivals per second; a list measures one point per rate")
    burstiness: PositiveFloat = Field(description="shape: 1 is Poisson, below 1 burstier")


class RampArrivals(Strict):
    """Poisson arrivals whose rate rises or falls linearly over the window."""

    process: Literal["ramp"] = Field(description="poisson, with a rate that changes steadily")
    from_request_rate_per_s: PositiveFloat = Field(description="arrivals per second at the start")
    to_request_rate_per_s: PositiveFloat = Field(description="arrivals per second at the end")


class StepArrivals(Strict):
    """Poisson arrivals whose rate changes in steps, one after the other."""

    process: Literal["steps"] = Field(description="poisson, with a rate that changes in steps")
    request_rate_per_s: StepRates = Field(description="arrivals per second of each step")
    step_s: PositiveFloat = Field(description="length of each step")


class TraceArrivals(Strict):
    """Arrivals and lengths from a recorded trace."""

    process: Literal["trace"] = Field(description="as recorded")
    file: LocalFile = Field(description="the recorded trace")
    time_scale: PositiveFloat = Field(1.0, description="2.0 replays twice as fast")


Arrivals = Annotated[
    ConstantArrivals | PoissonArrivals | GammaArrivals | RampArrivals | StepArrivals | TraceArrivals,
    Field(discriminator="process"),
]


class OpenLoop(Strict):
    """Requests are sent at planned instants, however the server is doing."""

    kind: Literal["open_loop"] = Field(description="arrivals that do not wait for answers")
    arrivals: Arrivals = Field(description="when requests arrive")

    @property
    def number_of_levels(self) -> int:
        """How many points one workload makes: a list of rates makes one each, steps and ramps happen within one."""
        if isinstance(self.arrivals, ConstantArrivals | PoissonArrivals | GammaArrivals):
            return len(self.arrivals.request_rate_per_s)
        return 1


Load = Annotated[ClosedLoop | OpenLoop, Field(discriminator="kind")]
