"""The blocks of a paged KV cache: who holds which, and which prompt beginnings are still in it. Pure, no tensors.

A block is a number. It is free, held (by one sequence, or by several that share a prompt's beginning), or kept: held by
nobody, but its content is known and a later prompt may take it up again; the longest unused of these makes room first.
"""

from __future__ import annotations

from collections import OrderedDict


class OutOfBlocks(Exception):
    """There is no free block. The caller pauses a sequence and asks again."""


class BlockPool:
    """`total` blocks of `block_tokens` tokens. With `reuse`, full blocks stay known by their content."""

    def __init__(self, total: int, block_tokens: int, *, reuse: bool) -> None:
        self.block_tokens = block_tokens
        self._reuse, self._total = reuse, total
        self._free = list(range(total - 1, -1, -1))
        self._holders: dict[int, int] = {}  # held block → by how many
        self._kept: OrderedDict[int, None] = OrderedDict()  # held by nobody, content known; longest unused first
        self._by_content: dict[int, int] = {}
        self._content: dict[int, int] = {}

    @property
    def used(self) -> int:
        """Blocks that a sequence holds."""
        return len(self._holders)

    @property
    def available(self) -> int:
        """Blocks that `take` could give."""
        return self._total - len(self._holders)

    def take(self) -> int:
        """A block with nothing of worth in it. Raises OutOfBlocks."""
        if self._free:
            block = self._free.pop()
        elif self._kept:
            block, _ = self._kept.popitem(last=False)
            del self._by_content[self._content.pop(block)]
        else:
            raise OutOfBlocks
        self._holders[block] = 1
        return block

    def give_back(self, blocks: list[int]) -> None:
        """A sequence lets go of its blocks."""
        for block in blocks:
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            del self._holders[block]
            if block in self._content:
                self._kept[block] = None
            else:
                self._free.append(block)

    def take_known(self, prompt: list[int]) -> list[int]:
        """Held from now on: the blocks whose content begins this prompt. Never all of it: one token is computed."""
        taken = []
        for content in self._contents(prompt[:-1]):
            block = self._by_content.get(content)
            if block is None:
                break
            self._kept.pop(block, None)
            self._holders[block] = self._holders.get(block, 0) + 1
            taken.append(block)
        return taken

    def note(self, tokens: list[int], blocks: list[int]) -> None:
        """These tokens have been computed into these blocks; what fills a whole block can be taken up again."""
        for content, block in zip(self._contents(tokens), blocks, strict=False):
            if content not in self._by_content and block not in self._content:
                self._by_content[content] = block
                self._content[block] = content

    def _contents(self, tokens: list[int]) -> list[int]:
        """A hash per full block, chained with the one before it."""
        if not self._reuse:
            return []
        chain, hashes = 0, []
        for start in range(0, len(tokens) - self.block_tokens + 1, self.block_tokens):
            chain = hash((chain, *tokens[start : start + self.block_tokens]))
            hashes.append(chain)
        return hashes
