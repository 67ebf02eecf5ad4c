"""How much of a prompt the KV cache already holds: an estimate, because the library does not say.

It keeps the same book as a block-wise prefix cache: a full block of tokens is known by itself and all before it, and
the least recently used block makes room. The library may evict in another order, so near a full cache the two can
differ. Pure.
"""

from __future__ import annotations

from collections import OrderedDict


class PrefixEstimate:
    """Counts nothing unless `enabled` (enable_kv_cache_reuse)."""

    def __init__(self, *, enabled: bool, block_tokens: int, total_blocks: int) -> None:
        self._enabled, self._block_tokens, self._total_blocks = enabled, block_tokens, total_blocks
        self._known: OrderedDict[int, None] = OrderedDict()

    def reused_blocks(self, prompt: list[int]) -> int:
        """Blocks at the start of the prompt that are known; the last token is always computed, so never all of it."""
        reused = 0
        for block in self._blocks(prompt[:-1]):
            if block not in self._known:
                break
            reused += 1
        return reused

    def remember(self, tokens: list[int]) -> None:
        """A request with these tokens (prompt and output) has been computed."""
        for block in self._blocks(tokens):
            self._known[block] = None
            self._known.move_to_end(block)
        while len(self._known) > self._total_blocks:
            self._known.popitem(last=False)

    def _blocks(self, tokens: list[int]) -> list[int]:
        """A hash per full block, chained with the one before it."""
        if not self._enabled:
            return []
        chain, hashes = 0, []
        for start in range(0, len(tokens) - self._block_tokens + 1, self._block_tokens):
            chain = hash((chain, *tokens[start : start + self._block_tokens]))
            hashes.append(chain)
        return hashes
