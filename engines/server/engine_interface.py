"""What the engine process asks of an engine. Another engine (a GPU one) is one module with a class that does this.

The engine process calls every method from one thread. Queueing, limits, end tokens, stop words and time stamps are
not the engine's business. Pure declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from generation import GenerationRequest


@dataclass(frozen=True)
class Produced:
    """What one step gave one request: raw tokens (an end token included), and whether the engine is done with it."""

    key: int
    tokens: list[int] = field(default_factory=list)
    ended: bool = False
    error: str | None = None  # the engine gave the request up; the client gets this text


@dataclass(frozen=True)
class EngineStatistics:
    """After the latest step."""

    used_blocks: int
    scheduled_requests: int
    gpu_bytes: int = 0  # memory on the GPU; 0 without one


class Engine(Protocol):
    """A batch of running requests that advances by one iteration per `step`."""

    block_tokens: int
    vocabulary_size: int

    def add(self, key: int, request: GenerationRequest) -> None:
        """Take the request into the batch; it fits (admission saw to that). Raises if the library refuses it."""

    def step(self) -> list[Produced]:
        """One iteration; an entry for every request that got tokens or ended. An exception ends the engine process."""

    def cancel(self, key: int) -> None:
        """Forget the request and free its cache. It is never mentioned again. Unknown keys are ignored."""

    def statistics(self) -> EngineStatistics:
        """Cheap enough for every step."""
