"""Tensors in, generation requests out; what this engine cannot do is refused by name."""

import numpy as np
import pytest
from tensors import NEUTRAL_ONLY, WITHOUT_EFFECT, RefusedRequest, text_requests, token_requests

I32, F32 = np.int32, np.float32


def tokens(**more: np.ndarray) -> dict[str, np.ndarray]:
    """Scalars as Triton hands them over after `reshape: []`: one axis, the batch."""
    given = {
        "input_ids": np.array([[5, 6, 7, 0]], I32),
        "input_lengths": np.array([3], I32),
        "request_output_len": np.array([4], I32),
    }
    return {**given, **more}


def text(**more: np.ndarray) -> dict[str, np.ndarray]:
    return {"text_input": np.array([[b"abc"]], object), "max_tokens": np.array([[4]], I32), **more}


def encode(words: str) -> list[int]:
    return [ord(letter) for letter in words]


def test_input_lengths_trims_the_prompt_and_the_defaults_are_neutral() -> None:
    (one,) = token_requests(tokens(), 17)
    assert (one.input_ids, one.max_new_tokens, one.arrival_ns) == ([5, 6, 7], 4, 17)
    assert (one.end_id, one.min_new_tokens, one.stop_words) == (-1, 0, [])
    assert one.sampling.is_greedy


def test_the_text_model_falls_back_to_the_end_of_text() -> None:
    (one,) = text_requests(text(), 0, encode, 2)
    assert (one.input_ids, one.end_id) == ([97, 98, 99], 2)
    (pinned,) = text_requests(text(end_id=np.array([[-1]], I32)), 0, encode, 2)
    assert pinned.end_id == -1


def test_rows_of_a_batch_are_read_apart() -> None:
    two = {
        "input_ids": np.array([[5, 6], [7, 8]], I32),
        "input_lengths": np.array([2, 1], I32),
        "request_output_len": np.array([3, 4], I32),
        "seed": np.array([1, 2], np.uint64),
    }
    first, second = token_requests(two, 0)
    assert (first.input_ids, first.max_new_tokens, first.sampling.seed) == ([5, 6], 3, 1)
    assert (second.input_ids, second.max_new_tokens, second.sampling.seed) == ([7], 4, 2)


def test_stop_words_are_read_from_ids_and_ends() -> None:
    listed = np.array([[[11, 12, 13, 0], [2, 3, -1, -1]]], I32)
    (one,) = token_requests(tokens(stop_words_list=listed), 0)
    assert one.stop_words == [[11, 12], [13]]
    (texts,) = text_requests(text(stop_words=np.array([[b"x", b""]], object)), 0, encode, 2)
    assert texts.stop_words == [[ord("x")]]


@pytest.mark.parametrize("name", ["input_ids", "input_lengths", "request_output_len"])
def test_a_missing_input_is_named(name: str) -> None:
    given = tokens()
    del given[name]
    with pytest.raises(RefusedRequest, match=f"{name} is not present in the request"):
        token_requests(given, 0)


@pytest.mark.parametrize("name", sorted(NEUTRAL_ONLY))
def test_what_cannot_be_done_is_refused_by_name_and_its_neutral_value_is_not(name: str) -> None:
    with pytest.raises(RefusedRequest, match=f"'{name}'"):
        token_requests(tokens(**{name: np.array([[2]], I32)}), 0)
    for neutral in (np.zeros((1, 0), I32), np.array([[False]]), np.array([[b""]], object)):
        assert token_requests(tokens(**{name: neutral}), 0)


def test_minus_one_is_no_retention_and_one_beam_is_no_beam_search() -> None:
    assert token_requests(tokens(retention_decode_priority=np.array([[-1]], I32), beam_width=np.array([1], I32)), 0)
    with pytest.raises(RefusedRequest, match="beam_width"):
        token_requests(tokens(beam_width=np.array([0], I32)), 0)


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_what_has_no_effect_is_accepted(name: str) -> None:
    assert token_requests(tokens(**{name: np.array([3], F32)}), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"runtime_top_k": np.array([-1], I32)},
        {"runtime_top_p": np.array([1.5], F32)},
        {"runtime_top_k": np.array([5], I32), "temperature": np.array([0.0], F32)},
        {"repetition_penalty": np.array([0.0], F32)},
        {"input_lengths": np.array([9], I32)},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(RefusedRequest):
        token_requests(tokens(**wrong), 0)


def test_the_text_model_refuses_no_output_in_the_words_of_the_bls_model() -> None:
    with pytest.raises(RefusedRequest, match="max_tokens must be a single value > 0"):
        text_requests(text(max_tokens=np.array([[0]], I32)), 0, encode, 2)
