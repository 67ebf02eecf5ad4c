"""When requests arrive in an open loop: a process and its rates. Every instant follows from the run seed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from harness.scenario.strict import Strict, mistake
from harness.scenario.surroundings import LocalFile, surroundings_of
from harness.scenario.trace_file import Trace, first_row_of


def listed(value: Any) -> Any:
    """The short form of a list with one number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if is_number else value


def without_repeats(levels: list[Any]) -> list[Any]:
    """Levels, each of which makes one point."""
    for index, level in enumerate(levels):
        if level in levels[:index]:
            raise mistake(f"{level} stands twice: each level is measured once, use `repetitions` for more", index)
    return levels


Rates = Annotated[
    list[PositiveFloat],
    BeforeValidator(listed, json_schema_input_type=PositiveFloat | list[PositiveFloat]),
    AfterValidator(without_repeats),
    Field(min_length=1),
]
StepRates = Annotated[list[PositiveFloat], Field(min_length=1)]  # may come back to a rate
_RATE = "intended arrivals per second; a list measures one point per rate"


class ConstantArrivals(Strict):
    """Evenly spaced arrivals."""

    process: Literal["constant"] = Field(description="evenly spaced")
    request_rate_per_s: Rates = Field(description=_RATE)


class PoissonArrivals(Strict):
    """Independent arrivals: exponential gaps."""

    process: Literal["poisson"] = Field(description="independent of each other")
    request_rate_per_s: Rates = Field(description=_RATE)


class GammaArrivals(Strict):
    """Gamma-distributed gaps; `burstiness` is the shape: below 1 burstier than Poisson, above 1 more regular."""

    process: Literal["gamma"] = Field(description="burstier or more regular than poisson")
    request_rate_per_s: Rates = Field(description=_RATE)
    burstiness: PositiveFloat = Field(ge=0.01, description="shape: 1 is Poisson, below 1 burstier")


class OnOffArrivals(Strict):
    """Bursts: Poisson arrivals for `on_s`, none for `off_s`, and again. The window opens with the start of a burst."""

    process: Literal["on_off"] = Field(description="poisson in bursts, with silence between")
    request_rate_per_s: Rates = Field(
        description="arrivals per second on average over bursts and silences; a list measures one point per rate"
    )
    on_s: PositiveFloat = Field(ge=0.01, description="length of a burst")
    off_s: PositiveFloat = Field(ge=0.01, description="length of the silence after it")


class RampArrivals(Strict):
    """Poisson arrivals whose rate changes linearly over the window; warm-up and drain keep the rate of its ends."""

    process: Literal["ramp"] = Field(description="poisson, with a rate that changes steadily over the window")
    from_request_rate_per_s: PositiveFloat = Field(description="arrivals per second at the window's start, and before")
    to_request_rate_per_s: PositiveFloat = Field(description="arrivals per second at the window's end, and after")


class StepArrivals(Strict):
    """Poisson arrivals whose rate changes in steps from the window's start on; the last rate stays."""

    process: Literal["steps"] = Field(description="poisson, with a rate that changes in steps")
    request_rate_per_s: StepRates = Field(description="arrivals per second of each step")
    step_s: PositiveFloat = Field(description="length of each step")


class TraceArrivals(Strict):
    """Arrivals from a recorded trace, and with `{distribution: recorded}` its lengths too.

    The files that can be read are described in `scenario.trace_file`. Replay begins with the warm-up.
    """

    process: Literal["trace"] = Field(description="as recorded")
    file: LocalFile = Field(
        description="the recorded trace: Azure CSV, Mooncake JSONL, or CSV or JSONL with `arrival_s`"
    )
    time_scale: PositiveFloat = Field(1.0, description="2.0 replays twice as fast")
    start_s: NonNegativeFloat = Field(0.0, description="seconds of the trace (as recorded) to skip at its beginning")
    block_tokens: PositiveInt = Field(512, description="tokens of one prefix block, where the trace has block ids")
    _trace: Trace | None = PrivateAttr(None)

    @property
    def trace(self) -> Trace | None:
        """The rows of the file; None before `plan.files` has read it."""
        return self._trace

    def with_trace(self, trace: Trace) -> TraceArrivals:
        """A copy that knows the rows of its file."""
        copy = self.model_copy()
        copy._trace = trace
        return copy

    @field_validator("file")
    @classmethod
    def _is_a_trace(cls, file: Any, info: ValidationInfo) -> Any:
        if surroundings_of(info) is not None:
            first_row_of(file)
        return file


Arrivals = Annotated[
    ConstantArrivals | PoissonArrivals | GammaArrivals | OnOffArrivals | RampArrivals | StepArrivals | TraceArrivals,
    Field(discriminator="process"),
]


def rate_levels(arrivals: Arrivals) -> list[float] | None:
    """The rates that make one point each; None for a process that is one point."""
    if isinstance(arrivals, ConstantArrivals | PoissonArrivals | GammaArrivals | OnOffArrivals):
        return arrivals.request_rate_per_s
    return None
