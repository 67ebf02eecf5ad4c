"""Prefix ids of recorded requests: the blocks whose ids are equal in a trace become equal beginnings of prompts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.plan.prefix import prefix_id
from harness.scenario.trace_file import TraceRow

OWN_TOKENS = 16
"""Tokens at the end of a prompt that are always its own: room for the special tokens and the nonce. No server reuses
less than a block of 16 or more, and none reuses the last token."""

FIRST_NUMBER = 1 << 20  # numbers below are those of `shared_prefix` populations


def block_prefixes(
    rows: Sequence[TraceRow], input_tokens: Sequence[int], block_tokens: int, ordinal: int
) -> list[list[int]]:
    """For each row the prefix ids of its blocks; a block that its (perhaps shortened) prompt cuts is cut as well.

    Block ids of the trace are numbered anew in order of appearance; `ordinal` (of the tenant) keeps traces apart.
    """
    first = FIRST_NUMBER * (1 + ordinal)
    numbers: dict[int, int] = {}
    prefixes = []
    for row, tokens in zip(rows, input_tokens, strict=True):
        left = tokens - OWN_TOKENS
        ids = []
        for block in row.blocks:
            number = numbers.setdefault(block, len(numbers))
            size = min(block_tokens, left)
            if size < OWN_TOKENS and size < block_tokens:
                break
            ids.append(prefix_id(first + number, size))
            left -= size
        prefixes.append(ids)
    return prefixes
