"""What is asked: prompts, input and output lengths in tokens, and how much prefix they share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from harness.scenario.strict import Strict, mistake
from harness.scenario.surroundings import LocalFile, Surroundings, lengths_in, surroundings_of
from harness.scenario.target import Slug

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


AnyLengths = Fixed | Uniform | Normal | Lognormal | Empirical


def _from_number(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"distribution": "fixed", "tokens": value} if is_number else value


Lengths = Annotated[
    Annotated[AnyLengths, Field(discriminator="distribution")],
    BeforeValidator(_from_number, json_schema_input_type=PositiveInt | AnyLengths),
]


class UniquePrompts(Strict):
    """Every prompt differs from its first token on, so that no KV cache can be reused."""

    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})

    kind: Literal["unique"] = Field("unique", description="every prompt differs from its first token on")


class SharedPrefixes(Strict):
    """Prompts begin with one of `prefixes` shared beginnings of `prefix_tokens` tokens; the rest is unique."""

    kind: Literal["shared_prefix"] = Field(description="prompts share their beginnings, as with system prompts")
    prefixes: PositiveInt = Field(description="how many different shared beginnings there are")
    prefix_tokens: PositiveInt = Field(description="length of each; counts towards input_tokens")


Prompts = Annotated[UniquePrompts | SharedPrefixes, Field(discriminator="kind")]


class Part(Strict):
    """One kind of request within a workload."""

    name: Slug = Field("all", description="name in the records and the report")
    weight: PositiveFloat = Field(1.0, description="share of the requests, relative to the other parts")
    input_tokens: Lengths = Field(description="prompt length as the server counts it, special tokens included")
    output_tokens: Lengths = Field(description="length of the answer; pinned, the model's end token is switched off")
    prompts: Prompts = Field(UniquePrompts(), description="how far prompts are alike; default: not at all")

    @field_validator("input_tokens", "output_tokens")
    @classmethod
    def _bounds_in_order(cls, lengths: AnyLengths) -> AnyLengths:
        low, high = getattr(lengths, "min_tokens", None), getattr(lengths, "max_tokens", None)
        if low is not None and high is not None and low > high:
            raise mistake(f"{low} is above max_tokens ({high})", "min_tokens")
        return lengths

    @model_validator(mode="after")
    def _prefix_fits(self, info: ValidationInfo) -> Part:
        shortest = _shortest(self.input_tokens, surroundings_of(info))
        if isinstance(self.prompts, SharedPrefixes) and shortest is not None:
            prefix = self.prompts.prefix_tokens
            if prefix >= shortest:
                message = f"{prefix} is not below the shortest prompt (input_tokens: {shortest}): a rest must be unique"
                raise mistake(message, "prompts", "prefix_tokens")
        return self


def _shortest(lengths: AnyLengths, around: Surroundings | None) -> int | None:
    """The smallest length that can be drawn; None when it stands in a file that cannot be looked at."""
    if isinstance(lengths, Fixed):
        return lengths.tokens
    if not isinstance(lengths, Empirical):
        return lengths.min_tokens
    if lengths.tokens is not None:
        return min(lengths.tokens)
    readable = around is not None and lengths.file is not None and lengths.column is not None
    return min(lengths_in(lengths.file, lengths.column)) if readable else None  # type: ignore[arg-type]


class Workload(Strict):
    """One or several kinds of requests, mixed by weight. A workload with one part may leave out `parts`."""

    name: Slug = Field("all", description="name in point ids and reports")
    parts: list[Part] = Field(min_length=1, description="kinds of requests and their weights")

    @field_validator("parts")
    @classmethod
    def _names_differ(cls, parts: list[Part]) -> list[Part]:
        refuse_same_names([part.name for part in parts], "part")
        return parts


class SinglePartWorkload(Part):
    """The short form of a workload with one part; exists for the JSON Schema only."""


def refuse_same_names(names: list[str], what: str) -> None:
    """Raises a mistake at the first of `names` that stood before."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise mistake(f"each {what} needs a name of its own, {name!r} stands twice", index, "name")


def _from_single_part(value: Any) -> Any:
    """The short form: a workload without `parts` is its own only part."""
    if isinstance(value, dict) and "parts" not in value:
        return {"name": value.get("name", "all"), "parts": [{key: v for key, v in value.items() if key != "name"}]}
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


AnyWorkload = Annotated[
    Workload, BeforeValidator(_from_single_part, json_schema_input_type=Workload | SinglePartWorkload)
]
Workloads = Annotated[
    list[AnyWorkload],
    BeforeValidator(
        _listed, json_schema_input_type=Workload | SinglePartWorkload | list[Workload | SinglePartWorkload]
    ),
    Field(min_length=1),
]
