"""Nonces: never twice within a repetition, far apart between repetitions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.plan.nonce import NONCE_BITS, PromptKey, nonce, nonce_length

KEY = PromptKey("salt", 1, "all-c4", None, 0, 0)


@pytest.mark.parametrize(("words", "length"), [(16, 1), (16, 2), (17, 3), (60, 2), (1606, 1)])
def test_no_nonce_occurs_twice_before_all_are_used_up(words: int, length: int) -> None:
    every = words**length
    assert len({tuple(nonce("request", KEY, number, words, length)) for number in range(every)}) == every


@pytest.mark.parametrize("words", [16, 1606, 4096])
def test_as_many_requests_as_there_are_words_all_differ_in_their_first_word(words: int) -> None:
    length = nonce_length(words)
    assert len({nonce("request", KEY, 1000 + number, words, length)[0] for number in range(words)}) == words


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, salt="pepper"),
        replace(KEY, attempt=2),
        replace(KEY, point_id="all-c8"),
        replace(KEY, arm="candidate"),
        replace(KEY, repetition=1),
    ],
    ids=["salt", "attempt", "point", "arm", "repetition"],
)
def test_another_run_attempt_point_arm_or_repetition_has_other_nonces(other: PromptKey) -> None:
    mine, theirs = (
        {tuple(nonce("request", key, number, 1606, nonce_length(1606))) for number in range(20_000)}
        for key in (KEY, other)
    )
    assert not mine & theirs


def test_prefixes_and_requests_never_have_the_same_nonce() -> None:
    mine, theirs = ({tuple(nonce(kind, KEY, n, 1606, 6)) for n in range(1000)} for kind in ("request", "prefix"))
    assert not mine & theirs


@pytest.mark.parametrize("words", [16, 259, 1606, 128_000])
def test_a_nonce_is_as_short_as_sixty_bits_allow(words: int) -> None:
    length = nonce_length(words)
    assert words**length >= 2**NONCE_BITS > words ** (length - 1)


def test_nonces_are_the_same_in_every_process() -> None:
    assert nonce("request", KEY, 12, 1606, 6) == [124, 1426, 1222, 720, 771, 1381]
