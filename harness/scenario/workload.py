"""What is asked: prompts, input and output lengths in tokens, and how much prefix they share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveFloat, ValidationInfo, field_validator, model_validator

from harness.scenario.durations import PositiveDurations
from harness.scenario.lengths import AnyLengths, Empirical, Fixed, Lengths, Recorded
from harness.scenario.prompts import FilePrompts, Prompts, RecordedBlocks, SharedPrefixes, UniquePrompts
from harness.scenario.sessions import Cancellation, Sessions
from harness.scenario.strict import Strict, mistake, refuse_same_names
from harness.scenario.surroundings import Surroundings, lengths_in, surroundings_of
from harness.scenario.target import Slug


class Part(Strict):
    """One kind of request within a workload."""

    name: Slug = Field("all", description="name in the records and the report")
    weight: PositiveFloat = Field(1.0, description="share of the arrivals, relative to the other parts")
    input_tokens: Lengths = Field(description="prompt length as the server counts it, special tokens included")
    output_tokens: Lengths = Field(description="length of the answer; pinned, the model's end token is switched off")
    prompts: Prompts = Field(UniquePrompts(), description="how far prompts are alike; default: not at all")
    sessions: Sessions | None = Field(None, description="conversations of several turns; default: single requests")
    cancel: Cancellation | None = Field(None, description="clients that give up; default: none")
    timeout_s: PositiveDurations | None = Field(
        None, description="a request not done by then counts as `timeout`; default: request.timeout_s"
    )

    @model_validator(mode="after")
    def _prefix_fits(self, info: ValidationInfo) -> Part:
        shortest = _shortest(self.input_tokens, surroundings_of(info))
        if isinstance(self.prompts, SharedPrefixes) and shortest is not None:
            prefix = self.prompts.prefix_tokens
            if prefix >= shortest:
                message = f"{prefix} is not below the shortest prompt (input_tokens: {shortest}): a rest must be unique"
                raise mistake(message, "prompts", "prefix_tokens")
        return self

    @model_validator(mode="after")
    def _lengths_have_a_meaning(self) -> Part:
        if isinstance(self.prompts, FilePrompts):
            _refuse_changed_texts(self)
        if isinstance(self.prompts, RecordedBlocks) and not isinstance(self.input_tokens, Recorded):
            raise mistake("blocks belong to recorded lengths: write `{distribution: recorded}`", "input_tokens")
        if self.sessions is not None:
            _refuse_recorded_sessions(self, self.sessions)
        recorded = self.cancel is not None and isinstance(self.cancel.after_tokens, Recorded)
        if recorded:
            raise mistake("cannot be recorded: give a number or a distribution", "cancel", "after_tokens")
        return self


def _refuse_changed_texts(part: Part) -> None:
    if not isinstance(part.input_tokens, Recorded):
        raise mistake(
            "texts from a file have the lengths they have: write `{distribution: recorded}`, and"
            " `prompts.max_input_tokens` to leave out long ones",
            "input_tokens",
        )
    if part.input_tokens.is_changed:
        raise mistake("texts from a file are sent as they are: no scale, min_tokens or max_tokens", "input_tokens")


def _refuse_recorded_sessions(part: Part, sessions: Sessions) -> None:
    for name, lengths in (("input_tokens", part.input_tokens), ("output_tokens", part.output_tokens)):
        if isinstance(lengths, Recorded):
            raise mistake("recorded requests are no sessions: give lengths of turns, or leave out `sessions`", name)
    if isinstance(sessions.new_input_tokens, Recorded):
        raise mistake("cannot be recorded: give a number or a distribution", "sessions", "new_input_tokens")


def _shortest(lengths: AnyLengths, around: Surroundings | None) -> int | None:
    """The smallest length that can be drawn; None when it stands in a file that cannot be looked at."""
    if isinstance(lengths, Fixed):
        return lengths.tokens
    if isinstance(lengths, Recorded):
        return None
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
