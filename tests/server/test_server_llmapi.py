"""The LLM-API contract without a server: how a request is read, and what is sent after each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conventions import BLS, LLMAPI
from generation import GenerationRequest
from llmapi import DEFAULT_MAX_TOKENS, NAMES, LlmApiReply, llmapi_requests, with_batch
from tensors import RefusedRequest, Row

EVERYTHING = {"text_output", "finish_reason", "stop_reason", "kv_cache_missed_block", "kv_cache_hit_rate"}


def tensors(**inputs: Any) -> dict[str, np.ndarray]:
    given = {"text_input": np.array([b"abc", b"ignored"], dtype=object), **inputs}
    return dict(with_batch({name: np.atleast_1d(np.asarray(value)) for name, value in given.items()}))


def read(**inputs: Any) -> GenerationRequest:
    """The request read by a tokenizer that makes a letter its code."""
    (request,) = llmapi_requests(tensors(**inputs), 7, lambda text: [ord(letter) for letter in text], 2)
    return request


def test_only_the_first_text_counts_and_the_end_token_is_the_tokenizer_s() -> None:
    request = read()
    assert (request.input_ids, request.end_id, request.arrival_ns) == ([97, 98, 99], 2, 7)
    assert request.max_new_tokens == DEFAULT_MAX_TOKENS


def test_sampling_parameters_are_read_under_their_prefix() -> None:
    request = read(
        sampling_param_max_tokens=np.int32(5),
        sampling_param_top_k=np.int32(3),
        sampling_param_temperature=np.float32(0.5),
        sampling_param_seed=np.uint64(9),
        sampling_param_stop=np.array([b"xy"], dtype=object),
    )
    assert (request.max_new_tokens, request.stop_words) == (5, [[120, 121]])
    assert (request.sampling.top_k, request.sampling.temperature, request.sampling.seed) == (3, 0.5, 9)


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_no_room_for_a_token_is_refused(max_tokens: int) -> None:
    with pytest.raises(RefusedRequest, match=f"max_tokens must be greater than 0, got {max_tokens}"):
        read(sampling_param_max_tokens=np.int32(max_tokens))


def step(tokens: list[int], finish: str | None = None) -> dict[str, Any]:
    return {"tokens": tokens, "finish": finish, "instants": [1, 2, 3, 4], "blocks": 5, "reused_blocks": 2}


def reply(request: GenerationRequest, **inputs: Any) -> LlmApiReply:
    row = Row(tensors(**inputs), 0, NAMES)
    return LlmApiReply(row, EVERYTHING, request, lambda tokens: "".join(map(chr, tokens)))


def shown(outputs: dict[str, np.ndarray] | None) -> dict[str, str]:
    assert outputs is not None
    return {name: array[0].decode() for name, array in outputs.items()}


def test_each_streamed_response_holds_the_whole_text_so_far() -> None:
    streaming = reply(read(), streaming=True, return_finish_reason=True)
    assert shown(streaming.after(step([65]))) == {"text_output": "A", "finish_reason": "None"}
    assert shown(streaming.after(step([66], "length"))) == {"text_output": "AB", "finish_reason": "length"}


def test_without_streaming_there_is_one_response_at_the_end() -> None:
    once = reply(read())
    assert once.after(step([65])) is None
    assert shown(once.after(step([], "end_id"))) == {"text_output": "A"}


@pytest.mark.parametrize(("finish", "reason"), [("end_id", "stop"), ("length", "length"), ("cancelled", "cancelled")])
def test_how_it_ended_is_said_in_the_llm_api_s_words(finish: str, reason: str) -> None:
    ended = shown(reply(read(), return_finish_reason=True, return_stop_reason=True).after(step([65], finish)))
    assert (ended["finish_reason"], ended["stop_reason"]) == (reason, "None")


def test_the_stop_string_is_the_reason_and_not_part_of_the_text() -> None:
    request = read(sampling_param_stop=np.array([b"zz", b"xy"], dtype=object))
    ended = reply(request, return_finish_reason=True, return_stop_reason=True).after(step([65, 120, 121], "stop_words"))
    assert shown(ended) == {"text_output": "A", "finish_reason": "stop", "stop_reason": "xy"}


def test_perf_numbers_are_text_and_only_those_asked_for_are_sent() -> None:
    outputs = reply(read(), sampling_param_return_perf_metrics=True).after(step([65], "length"))
    assert shown(outputs) == {"text_output": "A", "kv_cache_missed_block": "3", "kv_cache_hit_rate": "0.4"}


def test_each_model_words_errors_in_its_way() -> None:
    assert LLMAPI.word_error("no") == "Error generating request: no"
    assert LLMAPI.beside_error["text_output"].tolist() == [b"N/A"]
    worded = BLS.word_error("max_tokens must be a single value > 0")
    assert worded.startswith("Traceback (most recent call last):\n")
    assert "max_tokens must be a single value > 0" in worded.splitlines()[-1]
