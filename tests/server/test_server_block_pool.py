"""The paged cache's book and the plan of an iteration: who holds which block, who computes what, who is paused."""

from __future__ import annotations

import pytest
from block_pool import BlockPool, OutOfBlocks
from generation import GenerationRequest
from iteration import Piece, Sequence, plan
from test_server_admission import settings


def sequence(key: int, prompt: int, *, output: int = 0, computed: int = 0) -> Sequence:
    ids = [key * 1000 + at for at in range(prompt)]
    return Sequence(key, GenerationRequest(ids, 64, arrival_ns=0), ids + [7] * output, computed)


def counts(pieces: list[Piece]) -> list[tuple[int, int]]:
    return [(piece.sequence.key, piece.count) for piece in pieces]


def compute(pieces: list[Piece]) -> None:
    """As the engine does, without arithmetic: what completes gets a token."""
    for piece in pieces:
        completes = piece.completes
        piece.sequence.computed += piece.count
        if completes:
            piece.sequence.tokens.append(7)


def test_a_block_is_given_out_once_until_it_comes_back() -> None:
    pool = BlockPool(3, 4, reuse=False)
    taken = [pool.take() for _ in range(3)]
    assert sorted(taken) == [0, 1, 2]
    assert (pool.used, pool.available) == (3, 0)
    with pytest.raises(OutOfBlocks):
        pool.take()
    pool.give_back(taken[:1])
    assert pool.take() == taken[0]


def test_a_known_beginning_is_shared_and_survives_its_first_holder() -> None:
    pool = BlockPool(6, 4, reuse=True)
    tokens = list(range(10))
    first = [pool.take() for _ in range(3)]
    pool.note(tokens, first)
    shared = pool.take_known([*tokens[:8], 99, 98])
    assert shared == first[:2]
    assert pool.used == 3
    pool.give_back(first)
    assert pool.used == 2
    pool.give_back(shared)
    assert pool.used == 0
    assert pool.take_known(tokens) == first[:2]


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    pool = BlockPool(6, 4, reuse=True)
    tokens = list(range(8))
    held = [pool.take(), pool.take()]
    pool.note(tokens, held)
    assert pool.take_known(tokens) == held[:1]


def test_what_nobody_holds_makes_room_longest_unused_first() -> None:
    pool = BlockPool(2, 4, reuse=True)
    for start in (0, 100):
        block = pool.take()
        pool.note(list(range(start, start + 4)), [block])
        pool.give_back([block])
    assert pool.available == 2
    pool.take()
    assert pool.take_known([*range(4), 5]) == [], "the older one went"
    assert len(pool.take_known([*range(100, 104), 5])) == 1


def test_without_reuse_nothing_is_known() -> None:
    pool = BlockPool(2, 4, reuse=False)
    block = pool.take()
    pool.note(list(range(4)), [block])
    pool.give_back([block])
    assert pool.take_known([*range(4), 5]) == []


def test_generations_come_before_prompts_and_prompts_share_the_rest_in_order() -> None:
    limits, pool = settings(max_batch_size="4", max_num_tokens="40"), BlockPool(64, 32, reuse=False)
    running = [sequence(1, 50), sequence(2, 10, output=1, computed=10), sequence(3, 30)]
    running[1].blocks = [pool.take()]
    assert counts(plan(running, limits, pool)) == [(2, 1), (1, 39)]
    running[0].computed, running[1].computed = 39, 11
    running[1].tokens.append(7)
    assert counts(plan(running, limits, pool)) == [(2, 1), (1, 11), (3, 28)]


def test_without_chunked_context_a_prompt_waits_until_it_fits_whole() -> None:
    limits = settings(max_batch_size="4", max_num_tokens="40", enable_chunked_context="false")
    pool = BlockPool(64, 32, reuse=False)
    running = [sequence(1, 30), sequence(2, 30)]
    assert counts(plan(running, limits, pool)) == [(1, 30)]
    compute([Piece(running[0], 30)])
    assert counts(plan(running, limits, pool)) == [(1, 1), (2, 30)]


def test_a_full_cache_pauses_the_youngest_and_lets_it_in_again_when_there_is_room() -> None:
    limits, pool = settings(max_batch_size="4", max_num_tokens="512"), BlockPool(4, 32, reuse=False)
    old, young = sequence(1, 62), sequence(2, 62)
    for _ in range(3):  # prompt, two tokens: 65 tokens need a third block
        compute(plan([old, young], limits, pool))
    pieces = plan([old, young], limits, pool)
    assert counts(pieces) == [(1, 1)]
    assert (young.computed, young.blocks) == (0, [])
    compute(pieces)
    assert counts(plan([old, young], limits, pool)) == [(1, 1)], "no room for it yet"
    pool.give_back(old.blocks)
    assert counts(plan([young], limits, pool)) == [(2, 65)], "all of it again, its own output included"


def test_every_request_of_a_crowded_cache_gets_to_its_end() -> None:
    limits, pool = settings(max_batch_size="8", max_num_tokens="64"), BlockPool(7, 32, reuse=False)
    running = [sequence(key, 30 + key) for key in range(6)]
    for _ in range(3000):
        compute(plan(running, limits, pool))
        for done in [one for one in running if one.produced >= 64]:
            pool.give_back(done.blocks)
            running.remove(done)
        assert pool.used == len({block for one in running for block in one.blocks})
        if not running:
            break
    assert running == []
    assert pool.used == 0
