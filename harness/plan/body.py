"""The pool of bodies: what follows the nonce. One endless stream of words; a body is a piece of it from a slot on.

A body of any length is one slice of prebuilt bytes (or ids), not a join of words. Two prompts may share a body: their
nonces stand before it, and a KV cache reuses beginnings only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from harness.plan.seeds import derive, whole_numbers

STREAM_WORDS = 1 << 16
SLOTS = 256
"""Bodies begin at one of so many places; a plan's `prompt_seed` is one of them."""


def stream(seed: int, words: int) -> NDArray[np.int64]:
    """The word ordinals (below `words`) of the stream, STREAM_WORDS long; after the last comes the first again."""
    return whole_numbers(derive(seed, "prompts", "stream"), STREAM_WORDS, words)


def _start(slot: int) -> int:
    return slot % SLOTS * (STREAM_WORDS // SLOTS)


@dataclass(frozen=True)
class TextPool:
    """Pieces of text, one token each, and the stream over them. The first `cut` bytes of a whole text are dropped."""

    pieces: tuple[bytes, ...]
    cut: int
    text: bytes
    offsets: tuple[int, ...]  # where each word of the stream begins, and the end

    @staticmethod
    def of(seed: int, pieces: tuple[bytes, ...], cut: int) -> TextPool:
        """The pool over these pieces."""
        chosen = [pieces[ordinal] for ordinal in stream(seed, len(pieces)).tolist()]
        return TextPool(pieces, cut, b"".join(chosen), tuple(accumulate(map(len, chosen), initial=0)))

    def body(self, slot: int, tokens: int) -> bytes:
        """`tokens` words from a slot on."""
        start = _start(slot)
        rounds, end = divmod(start + tokens, STREAM_WORDS)
        if rounds == 0:
            return self.text[self.offsets[start] : self.offsets[end]]
        return self.text[self.offsets[start] :] + self.text * (rounds - 1) + self.text[: self.offsets[end]]


@dataclass(frozen=True)
class IdPool:
    """Token ids, and the stream over them."""

    ids: NDArray[np.int32]
    stream: NDArray[np.int32]

    @staticmethod
    def of(seed: int, ids: NDArray[np.int32]) -> IdPool:
        """The pool over these ids."""
        return IdPool(ids, ids[stream(seed, len(ids))])

    def body(self, slot: int, tokens: int) -> NDArray[np.int32]:
        """`tokens` ids from a slot on."""
        start = _start(slot)
        if start + tokens <= STREAM_WORDS:
            return self.stream[start : start + tokens]
        return self.stream.take(np.arange(start, start + tokens), mode="wrap")
