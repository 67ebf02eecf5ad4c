"""Durations that differ from request to request: think times, timeouts, patience. Seconds in YAML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeFloat, PositiveFloat, model_validator

from harness.scenario.strict import Strict, mistake


class FixedDuration(Strict):
    """Always the same duration. The short form is the number itself."""

    distribution: Literal["fixed"] = Field(description="always the same duration")
    duration_s: NonNegativeFloat = Field(description="the duration")


class UniformDuration(Strict):
    """Every duration between the two equally likely."""

    distribution: Literal["uniform"] = Field(description="every duration of a range equally likely")
    min_s: NonNegativeFloat = Field(description="the shortest duration")
    max_s: PositiveFloat = Field(description="the longest duration")

    @model_validator(mode="after")
    def _in_order(self) -> UniformDuration:
        if self.min_s > self.max_s:
            raise mistake(f"{self.min_s:g} is above max_s ({self.max_s:g})", "min_s")
        return self


class ExponentialDuration(Strict):
    """Exponential, cut at `max_s`: many short and a few long ones, without memory."""

    distribution: Literal["exponential"] = Field(description="many short and a few long ones, without memory")
    mean_s: PositiveFloat = Field(description="mean before the cut")
    max_s: PositiveFloat = Field(description="longer ones become this long")


class LognormalDuration(Strict):
    """Lognormal, cut at `max_s`."""

    distribution: Literal["lognormal"] = Field(description="around a median, with a few long ones")
    median_s: PositiveFloat = Field(description="median before the cut")
    sigma: PositiveFloat = Field(description="standard deviation of ln(duration)")
    max_s: PositiveFloat = Field(description="longer ones become this long")


AnyDuration = FixedDuration | UniformDuration | ExponentialDuration | LognormalDuration


def _from_number(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"distribution": "fixed", "duration_s": value} if is_number else value


Durations = Annotated[
    Annotated[AnyDuration, Field(discriminator="distribution")],
    BeforeValidator(_from_number, json_schema_input_type=NonNegativeFloat | AnyDuration),
]


def _above_zero(durations: AnyDuration) -> AnyDuration:
    if isinstance(durations, FixedDuration) and durations.duration_s == 0:
        raise mistake("must be above 0", "duration_s")
    return durations


PositiveDurations = Annotated[Durations, AfterValidator(_above_zero)]


def longest_s(durations: AnyDuration) -> float:
    """The longest duration that can be drawn, in seconds."""
    return durations.duration_s if isinstance(durations, FixedDuration) else durations.max_s


def mean_s(durations: AnyDuration) -> float:
    """About the mean in seconds; the cut at `max_s` is not counted."""
    match durations:
        case FixedDuration():
            return durations.duration_s
        case UniformDuration():
            return (durations.min_s + durations.max_s) / 2
        case ExponentialDuration():
            return durations.mean_s
        case LognormalDuration():
            return durations.median_s
