"""Conversations of several turns, and clients that give up before their answer is complete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from harness.scenario.durations import Durations, FixedDuration, PositiveDurations
from harness.scenario.lengths import Lengths
from harness.scenario.strict import Strict, mistake

Share = Annotated[float, Field(ge=0, le=1)]


class Turns(Strict):
    """A number of turns, every one from `min_turns` to `max_turns` equally often. The short form is a number."""

    min_turns: PositiveInt = Field(le=1000, description="the fewest turns of a session")
    max_turns: PositiveInt = Field(le=1000, description="the most turns of a session")

    @model_validator(mode="after")
    def _in_order(self) -> Turns:
        if self.min_turns > self.max_turns:
            raise mistake(f"{self.min_turns} is above max_turns ({self.max_turns})", "min_turns")
        return self

    @property
    def mean(self) -> float:
        """Turns of a session on average."""
        return (self.min_turns + self.max_turns) / 2


def _from_number(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"min_turns": value, "max_turns": value} if is_number else value


AnyTurns = Annotated[
    Turns, BeforeValidator(_from_number, json_schema_input_type=Annotated[int, Field(ge=1, le=1000)] | Turns)
]


class Sessions(Strict):
    """Requests come as conversations: each turn repeats what was said before and adds new text.

    The part's `input_tokens` is the prompt of the first turn, its `output_tokens` the answer of every turn.
    """

    turns: AnyTurns = Field(description="requests of one session, one after the other")
    new_input_tokens: Lengths = Field(description="new text of every turn after the first")
    think_time_s: Durations = Field(
        FixedDuration(distribution="fixed", duration_s=0),
        description="from an answer's end to the next turn; default 0",
    )
    history: Literal["planned", "reply"] = Field(
        "planned",
        description="what a turn repeats of earlier answers: `planned` text of the asked length, or the real `reply`",
    )


class Cancellation(Strict):
    """A share of the requests is cancelled by the client after so many tokens, or so long after its sending."""

    share: Share = Field(description="share of the requests, 0 to 1")
    after_tokens: Lengths | None = Field(None, description="cancel when so many tokens have arrived")
    after_s: PositiveDurations | None = Field(None, description="cancel so long after the request was sent")

    @model_validator(mode="after")
    def _one_moment(self) -> Cancellation:
        if (self.after_tokens is None) == (self.after_s is None):
            raise mistake("give either `after_tokens` or `after_s`")
        return self
