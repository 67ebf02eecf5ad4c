"""New text or all text so far: found out from the texts alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.protocols.deltas import deltas

HALF = "\ufffd"


def _parts(*texts: str, prompt: str = "") -> tuple[list[str], bool]:
    parts, echoed = deltas([text.encode() for text in texts], prompt.encode)
    return [part.decode() for part in parts], echoed


def test_new_text_stays_as_it_is() -> None:
    assert _parts(" the", " cat", " sat") == ([" the", " cat", " sat"], False)


def test_all_text_so_far_is_cut_to_what_is_new() -> None:
    assert _parts("a", "a cat", "a cat sat", "a cat sat") == (["a", " cat", " sat", ""], False)


def test_a_token_that_repeats_is_new_text() -> None:
    assert _parts(" ha", " ha", " ha") == ([" ha", " ha", " ha"], False)


def test_a_half_character_is_replaced_by_the_next_response() -> None:
    assert _parts("a", f"a{HALF}", "aé", "aé!") == (["a", "", "é", "!"], False)


def test_a_stream_that_ends_within_a_character_keeps_the_half() -> None:
    assert "".join(_parts("a", "ab", f"ab{HALF}")[0]) == f"ab{HALF}"


@pytest.mark.parametrize("cumulative", [True, False])
def test_a_repeated_prompt_is_dropped_from_the_first_text(cumulative: bool) -> None:
    asked = "tell me a story"
    texts = [f"{asked} once", f"{asked} once upon"] if cumulative else [f"{asked} once", " upon"]
    assert _parts(*texts, prompt=asked) == ([" once", " upon"], True)


def test_the_prompt_is_not_looked_up_for_a_token() -> None:
    def never() -> bytes:
        raise AssertionError("looked up")

    assert deltas([b" the", b" cat"], never)[1] is False


@given(st.lists(st.text(min_size=1, max_size=6), min_size=3, max_size=20).filter(lambda words: len(set(words)) > 2))
def test_joined_parts_are_the_whole_text_whichever_way_it_was_sent(words: list[str]) -> None:
    so_far = ["".join(words[: end + 1]) for end in range(len(words))]
    assert "".join(_parts(*so_far)[0]) == "".join(words)
