"""How far prompts are alike: not at all, in their beginnings, or texts from a file as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr, ValidationInfo, field_validator

from harness.scenario.prompt_file import read_prompts
from harness.scenario.strict import Strict
from harness.scenario.surroundings import LocalFile, surroundings_of


@dataclass(frozen=True)
class FileLengths:
    """The prompts of a file that are used: which row each is, and its tokens. `output_tokens` None: not known."""

    rows: tuple[int, ...]
    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...] | None


class UniquePrompts(Strict):
    """Every prompt differs from its first token on, so that no KV cache can be reused."""

    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})

    kind: Literal["unique"] = Field("unique", description="every prompt differs from its first token on")


class SharedPrefixes(Strict):
    """Prompts begin with one of `prefixes` shared beginnings of `prefix_tokens` tokens; the rest is unique."""

    kind: Literal["shared_prefix"] = Field(description="prompts share their beginnings, as with system prompts")
    prefixes: PositiveInt = Field(description="how many different shared beginnings there are")
    prefix_tokens: PositiveInt = Field(description="length of each; counts towards input_tokens")
    hit_ratio: float = Field(
        1.0, gt=0, le=1, description="share of the prompts with a shared beginning; the others are unique"
    )


class RecordedBlocks(Strict):
    """Prompts share the blocks whose ids are equal in the trace; at least the last 16 tokens are unique."""

    kind: Literal["recorded_blocks"] = Field(description="prompts share what the block ids of the trace say")


class FilePrompts(Strict):
    """Texts from a file, sent as they are, in random order; when all were sent, all once more.

    Equal texts come again in every repetition and at every point: a KV cache that reuses blocks answers them sooner.
    """

    kind: Literal["from_file"] = Field(description="texts from a file, as they are")
    file: LocalFile = Field(description="JSONL with `prompt`, or a JSON list of ShareGPT `conversations`")
    max_input_tokens: PositiveInt | None = Field(None, description="longer texts are left out")
    _lengths: FileLengths | None = PrivateAttr(None)

    @property
    def lengths(self) -> FileLengths | None:
        """What is known of the texts; None before `plan.files` has read them."""
        return self._lengths

    def with_lengths(self, lengths: FileLengths) -> FilePrompts:
        """A copy that knows the lengths of its texts."""
        copy = self.model_copy()
        copy._lengths = lengths
        return copy

    @field_validator("file")
    @classmethod
    def _has_prompts(cls, file: Any, info: ValidationInfo) -> Any:
        if surroundings_of(info) is not None:
            read_prompts(file)
        return file


Prompts = Annotated[UniquePrompts | SharedPrefixes | RecordedBlocks | FilePrompts, Field(discriminator="kind")]
