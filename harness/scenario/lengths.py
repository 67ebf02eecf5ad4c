"""Lengths in tokens: always the same, drawn from a distribution, or as they were recorded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    model_validator,
)

from harness.scenario.strict import Strict, mistake
from harness.scenario.surroundings import LocalFile, lengths_in, surroundings_of

MinTokens = Annotated[PositiveInt, Field(description="the shortest length that is drawn")]
MaxTokens = Annotated[PositiveInt, Field(description="the longest length that is drawn")]


class Fixed(Strict):
    """Always the same number of tokens. The short form is the number itself."""

    # In Python the tag may be left out, in a file it may not.
    model_config = ConfigDict(json_schema_extra={"required": ["distribution", "tokens"]})

    distribution: Literal["fixed"] = Field("fixed", description="always the same length")
    tokens: PositiveInt = Field(description="the length")


class Uniform(Strict):
    """Every whole number from `min_tokens` to `max_tokens` equally often."""

    distribution: Literal["uniform"] = Field(description="every whole number of a range equally often")
    min_tokens: MinTokens
    max_tokens: MaxTokens


class Normal(Strict):
    """A normal distribution, rounded to whole tokens and clipped to [min_tokens, max_tokens]."""

    distribution: Literal["normal"] = Field(description="a bell curve, rounded and clipped")
    mean_tokens: PositiveFloat = Field(description="mean before clipping")
    deviation_tokens: PositiveFloat = Field(description="standard deviation before clipping")
    min_tokens: MinTokens = 1
    max_tokens: MaxTokens


class Lognormal(Strict):
    """A lognormal distribution given by its median and the deviation of its logarithm, rounded and clipped."""

    distribution: Literal["lognormal"] = Field(description="many short and a few long ones, rounded and clipped")
    median_tokens: PositiveFloat = Field(description="median before clipping")
    sigma: PositiveFloat = Field(description="standard deviation of ln(tokens)")
    min_tokens: MinTokens = 1
    max_tokens: MaxTokens


class Empirical(Strict):
    """Drawn from listed lengths (with weights), or from a column of a CSV file, each row equally often."""

    distribution: Literal["empirical"] = Field(description="drawn from lengths that were observed")
    tokens: list[PositiveInt] | None = Field(None, min_length=1, description="the lengths")
    weights: list[PositiveFloat] | None = Field(None, description="how often each of `tokens` is drawn, relatively")
    file: LocalFile | None = Field(None, description="CSV file with a header")
    column: str | None = Field(None, description="column of `file` that holds the lengths")

    @model_validator(mode="after")
    def _one_source(self) -> Empirical:
        if (self.tokens is None) == (self.file is None):
            raise mistake("give either `tokens` (a list) or `file` and `column`")
        if self.file is not None and self.column is None:
            raise mistake("`file` needs `column`", "file")
        if self.column is not None and self.file is None:
            raise mistake("`column` needs `file`", "column")
        if self.weights is not None and len(self.weights) != len(self.tokens or ()):
            counts = f"`weights` has {len(self.weights)} entries, `tokens` has {len(self.tokens or ())}"
            raise mistake(counts, "weights")
        return self

    @model_validator(mode="after")
    def _readable_column(self, info: ValidationInfo) -> Empirical:
        if surroundings_of(info) is not None and self.file is not None and self.column is not None:
            lengths_in(self.file, self.column)
        return self


class Recorded(Strict):
    """As recorded in a trace (`process: trace`) or a file of prompts (`kind: from_file`); a trace's may be scaled."""

    distribution: Literal["recorded"] = Field(description="as the trace, or the file of prompts, has them")
    scale: PositiveFloat = Field(1.0, description="0.1 makes a tenth of a trace's lengths")
    min_tokens: MinTokens = 1
    max_tokens: PositiveInt | None = Field(None, description="longer ones of a trace become this long")

    @property
    def is_changed(self) -> bool:
        """Whether lengths are not exactly those of the file."""
        return self.scale != 1.0 or self.min_tokens != 1 or self.max_tokens is not None


AnyLengths = Fixed | Uniform | Normal | Lognormal | Empirical | Recorded


def _from_number(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"distribution": "fixed", "tokens": value} if is_number else value


def _bounds_in_order(lengths: AnyLengths) -> AnyLengths:
    low, high = getattr(lengths, "min_tokens", None), getattr(lengths, "max_tokens", None)
    if low is not None and high is not None and low > high:
        raise mistake(f"{low} is above max_tokens ({high})", "min_tokens")
    return lengths


Lengths = Annotated[
    Annotated[AnyLengths, Field(discriminator="distribution")],
    BeforeValidator(_from_number, json_schema_input_type=PositiveInt | AnyLengths),
    AfterValidator(_bounds_in_order),
]
