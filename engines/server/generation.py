"""A request as the engine process sees it, and its way from prompt to end.

`GenerationRequest` crosses the socket; `Progress` lives in the engine process and decides what of the engine's raw
tokens a client sees: the end token is never shown, a stop word ends the request (and is shown, as in TensorRT-LLM).
Instants are CLOCK_MONOTONIC nanoseconds. Pure: no socket, no engine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

LENGTH, END_ID, STOP_WORDS, CANCELLED = "length", "end_id", "stop_words", "cancelled"


@dataclass(frozen=True)
class Sampling:
    """Greedy unless top_k > 1 or top_p > 0 asks for sampling, which is TensorRT-LLM's rule."""

    top_k: int = 0
    top_p: float = 0.0
    temperature: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        return self.top_k == 1 or (self.top_k == 0 and self.top_p <= 0)


@dataclass(frozen=True)
class GenerationRequest:
    """Token ids in, at most `max_new_tokens` out. `end_id` −1: no end token."""

    input_ids: list[int]
    max_new_tokens: int
    arrival_ns: int
    min_new_tokens: int = 0
    end_id: int = -1
    stop_words: list[list[int]] = field(default_factory=list)
    sampling: Sampling = field(default_factory=Sampling)

    def as_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, fields: dict[str, Any]) -> GenerationRequest:
        return cls(**{**fields, "sampling": Sampling(**fields["sampling"])})


class Progress:
    """What has become of one request: its tokens, its instants, its end."""

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.tokens: list[int] = []
        self.finish: str | None = None
        self.first_scheduled_ns: int | None = None
        self.first_token_ns: int | None = None
        self.last_token_ns: int | None = None

    def take(self, raw_tokens: list[int], *, ended: bool, now_ns: int) -> list[int]:
        """The tokens of one step that the client sees; sets `finish` when this was the last step."""
        shown: list[int] = []
        for token in raw_tokens:
            if token == self.request.end_id and len(self.tokens) >= self.request.min_new_tokens:
                self.finish = END_ID
                break
            shown.append(token)
            self.tokens.append(token)
            if self._stop_word_reached():
                self.finish = STOP_WORDS
                break
        if shown:
            self.first_token_ns = self.first_token_ns or now_ns
            self.last_token_ns = now_ns
        if self.finish is None and (ended or len(self.tokens) >= self.request.max_new_tokens):
            self.finish = LENGTH
        return shown

    def _stop_word_reached(self) -> bool:
        return any(self.tokens[-len(word) :] == word for word in self.request.stop_words if word)

    @property
    def length_tokens(self) -> int:
        """Prompt and output so far."""
        return len(self.request.input_ids) + len(self.tokens)

    def instants(self) -> list[int]:
        """[arrival, first scheduled, first token, last token]; what has not happened repeats the one before."""
        known = [self.request.arrival_ns]
        for instant in (self.first_scheduled_ns, self.first_token_ns, self.last_token_ns):
            known.append(max(known[-1], instant or 0))
        return known
