"""The nonce: the words that make a prompt unlike every other in the life of a deployment.

The nonce of request i is the number (start + i x stride) mod words^length, written in base `words` with the first word
least significant. Start and stride come from SHA-256 of (kind, salt, attempt, point, arm, repetition); the stride has
no common divisor with the base. Hence:

- within a repetition of a point no nonce occurs twice before all words^length are used up, however short the prompt;
- the first words of as many successive requests as there are words all differ;
- between repetitions, points, arms, attempts and runs two nonces of 60 bits are equal with probability about 2^-60.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Literal

NONCE_BITS = 60

Kind = Literal["request", "prefix"]


@dataclass(frozen=True, slots=True)
class PromptKey:
    """Everything a prompt's nonce depends on. The salt is drawn once per run; a resumed run has a higher attempt."""

    salt: str
    attempt: int
    point_id: str
    arm: str | None
    repetition: int
    index: int

    @staticmethod
    def of_row(
        salt: str, attempt: int, point_id: str, arm: str | None, repetition: int, index: int, turn: int | None
    ) -> PromptKey:
        """The key of a row of the plan: the turns of a session share the key of their first."""
        return PromptKey(salt, attempt, point_id, arm, repetition, index - (turn or 0))


@lru_cache(maxsize=64)
def nonce_length(words: int) -> int:
    """How many words out of `words` make at least NONCE_BITS bits."""
    length = 1
    while words**length < 1 << NONCE_BITS:
        length += 1
    return length


def nonce(kind: Kind, key: PromptKey, number: int, words: int, length: int) -> list[int]:
    """The nonce of request (or prefix) `number`: `length` word ordinals below `words`."""
    start, stride = _progression(kind, key.salt, key.attempt, key.point_id, key.arm, key.repetition, words)
    rest = start + number * stride
    ordinals = []
    for _ in range(length):
        rest, ordinal = divmod(rest, words)
        ordinals.append(ordinal)
    return ordinals


@lru_cache(maxsize=256)
def _progression(
    kind: Kind, salt: str, attempt: int, point_id: str, arm: str | None, repetition: int, words: int
) -> tuple[int, int]:
    """Start and stride of a repetition's nonces."""
    digest = hashlib.sha256(json.dumps([kind, salt, attempt, point_id, arm, repetition]).encode()).digest()
    stride = int.from_bytes(digest[16:], "little")
    while gcd(stride, words) > 1:
        stride += 1
    return int.from_bytes(digest[:16], "little"), stride
