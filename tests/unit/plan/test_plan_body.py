"""The pool of bodies gives any length, from any slot, also beyond the end of the stream."""

from __future__ import annotations

import numpy as np
import pytest

from harness.plan.body import SLOTS, STREAM_WORDS, IdPool, TextPool, stream

PIECES = tuple(f" w{number}".encode() for number in range(50))
LENGTHS = [0, 1, 7, STREAM_WORDS - 1, STREAM_WORDS, STREAM_WORDS + 1, 2 * STREAM_WORDS + 17]


@pytest.mark.parametrize("slot", [0, 1, SLOTS - 1, SLOTS + 3])
@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_body_is_the_stream_read_on_and_on_from_its_slot(slot: int, tokens: int) -> None:
    ordinals = stream(5, len(PIECES))
    start = slot % SLOTS * (STREAM_WORDS // SLOTS)
    expected = [int(ordinals[(start + i) % STREAM_WORDS]) for i in range(tokens)]
    assert TextPool.of(5, PIECES, cut=1).body(slot, tokens).split() == [PIECES[i].strip() for i in expected]
    ids = np.arange(100, 150, dtype=np.int32)
    body = IdPool.of(5, ids).body(slot, tokens)
    assert body.tolist() == [100 + i for i in expected]
    assert body.dtype == np.int32


def test_another_seed_gives_another_stream() -> None:
    assert stream(5, 50).tolist() != stream(6, 50).tolist()


def test_slots_begin_differently() -> None:
    pool = TextPool.of(1, PIECES, cut=1)
    assert len({pool.body(slot, 40) for slot in range(SLOTS)}) == SLOTS
