"""What one iteration of inflight batching computes: which sequences, and how many tokens of each. Pure, no tensors.

TensorRT-LLM's order: running generations first, one token each; then prompts in the order of their arrival, in pieces
where chunked context is on, until `max_num_tokens` is used up. When the cache is full, the youngest sequence is paused:
its blocks go, and it is computed again from its beginning once there is room (which only happens under
max_utilization; guaranteed_no_evict admits nobody whose whole length does not fit).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from block_pool import BlockPool, OutOfBlocks
from generation import GenerationRequest
from settings import Settings, blocks


@dataclass
class Sequence:
    """One running request: its tokens, and how many of them are in the cache."""

    key: int
    request: GenerationRequest
    tokens: list[int]  # prompt and output so far
    computed: int = 0  # tokens whose keys and values lie in `blocks`
    blocks: list[int] = field(default_factory=list)

    @property
    def produced(self) -> int:
        """Output tokens so far."""
        return len(self.tokens) - len(self.request.input_ids)

    @property
    def generates(self) -> bool:
        """Whether only its newest token is to be computed."""
        return self.computed > 0 and self.computed == len(self.tokens) - 1 and self.produced > 0


@dataclass(frozen=True)
class Piece:
    """The next `count` tokens of a sequence."""

    sequence: Sequence
    count: int

    @property
    def completes(self) -> bool:
        """Whether the sequence's last token is among them, so that a new one follows from it."""
        return self.sequence.computed + self.count == len(self.sequence.tokens)


def plan(sequences: list[Sequence], settings: Settings, pool: BlockPool) -> list[Piece]:
    """The pieces of the next iteration, generations first; their blocks are taken. `sequences`: oldest first."""
    generating = [sequence for sequence in sequences if sequence.generates]
    paused: set[int] = set()
    for sequence in generating:
        if sequence.key not in paused:
            paused |= _grow(sequence, sequences, pool)
    pieces = [Piece(sequence, 1) for sequence in generating if sequence.key not in paused]
    budget = settings.max_num_tokens - len(pieces)
    for sequence in sequences:
        if sequence.generates or sequence.key in paused:
            continue
        if not sequence.blocks and not _begin(sequence, pool):
            break
        left = len(sequence.tokens) - sequence.computed
        count = min(left, budget) if settings.enable_chunked_context else left
        if not 0 < count <= budget:
            break
        pieces.append(Piece(sequence, count))
        budget -= count
    return pieces


def pause(sequence: Sequence, pool: BlockPool) -> None:
    """Let go of its blocks; it will be computed again."""
    pool.give_back(sequence.blocks)
    sequence.blocks, sequence.computed = [], 0


def _grow(sequence: Sequence, everybody: list[Sequence], pool: BlockPool) -> set[int]:
    """Make room for its newest token. Returns the keys of those that were paused for it, itself perhaps."""
    paused: set[int] = set()
    while len(sequence.blocks) < blocks(len(sequence.tokens), pool.block_tokens):
        try:
            sequence.blocks.append(pool.take())
        except OutOfBlocks:
            youngest = next(other for other in reversed(everybody) if other.blocks)
            pause(youngest, pool)
            paused.add(youngest.key)
            if youngest is sequence:
                break
    return paused


def _begin(sequence: Sequence, pool: BlockPool) -> bool:
    """Take blocks for all its tokens, known ones first; False, and nothing taken, when there are too few."""
    known = pool.take_known(sequence.tokens)
    missing = blocks(len(sequence.tokens), pool.block_tokens) - len(known)
    if missing > pool.available:
        pool.give_back(known)
        return False
    sequence.blocks = known + [pool.take() for _ in range(missing)]
    sequence.computed = len(known) * pool.block_tokens
    return True
