"""Requests and answers of the protocols over HTTP/1.1, from bytes to bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from harness.protocols import openai, triton_http
from harness.protocols.contract import ModelContract
from harness.protocols.encoder import RequestOptions
from harness.protocols.http_frames import HttpCall
from harness.protocols.recount import recounting

OPTIONS = RequestOptions(True, "gateway:443", "/team/llm", {"authorization": "Bearer s3cret"})
TEXT = ModelContract(
    "ensemble",
    dict.fromkeys(("max_tokens", "stream", "end_id", "return_num_output_tokens"), "INT32") | {"text_input": "BYTES"},
)
IDS = ModelContract("tensorrt_llm", dict.fromkeys(("input_ids", "input_lengths", "request_output_len"), "INT32"))


def _split(request: bytes) -> tuple[list[str], dict[str, Any]]:
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head.decode()
    return head.decode().split("\r\n"), json.loads(body)


def _call(*events: dict[str, Any] | str, status: int = 200, request: bytes = b"", streamed: bool = True) -> HttpCall:
    call = HttpCall(lambda: None, streamed=streamed)
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    call.is_events = streamed and status == 200
    call.messages = [f"data: {text}".encode() if call.is_events else text.encode() for text in texts]
    call.stamps = [100 * (index + 1) for index in range(len(texts))]
    call.http_status, call.status, call.status_message, call.ended_ns = status, 0, f"{status} Reason", 9_999
    call.request = request
    return call


def test_a_generate_request_carries_path_headers_and_the_tensors_of_the_model() -> None:
    request = triton_http.TritonHttpEncoder(TEXT, OPTIONS).text("p/-/0/1", 'Grüße "x"'.encode(), 7, (("a", "b"),))
    head, body = _split(request)
    assert head[0] == "POST /team/llm/v2/models/ensemble/generate_stream HTTP/1.1"
    assert {"Host: gateway:443", "authorization: Bearer s3cret", "X-Request-Id: p/-/0/1", "a: b"} <= set(head)
    assert body == {
        "text_input": 'Grüße "x"',
        "max_tokens": 7,
        "stream": True,
        "return_num_output_tokens": True,
        "end_id": -1,
    }


def test_token_ids_are_a_list_of_numbers_and_whole_answers_have_their_own_path() -> None:
    encoder = triton_http.TritonHttpEncoder(IDS, RequestOptions(False, "h:1"))
    head, body = _split(encoder.ids("r", np.arange(3, dtype=np.int32), 5))
    assert head[0] == "POST /v2/models/tensorrt_llm/generate HTTP/1.1"
    assert body == {"input_ids": [0, 1, 2], "input_lengths": 3, "request_output_len": 5}


def test_openai_requests_hold_only_documented_fields() -> None:
    contract = openai.contract("m")
    _, chat = _split(openai.chat_encoder(contract, OPTIONS).text("r", b"hello", 5))
    head, plain = _split(openai.completions_encoder(contract, RequestOptions(False, "h:1")).text("r", b"hello", 5))
    pinned = {"max_tokens": 5, "min_tokens": 5, "ignore_eos": True, "model": "m"}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    assert chat == {"messages": [{"role": "user", "content": "hello"}], **pinned, **streamed}
    assert plain == {"prompt": "hello", **pinned, "stream": False}
    assert head[0] == "POST /v1/completions HTTP/1.1"


def test_generate_events_give_counts_text_and_server_instants() -> None:
    events = [
        {"text_output": " a", "num_output_tokens": 1, "num_input_tokens": 4},
        {"text_output": " b c", "num_output_tokens": 2, "arrival_time_ns": 5, "last_token_time_ns": "17"},
    ]
    answer = triton_http.decode(_call(*events))
    assert (answer.outcome, answer.chunk_stamps_ns, answer.chunk_tokens) == ("ok", [100, 200], [1, 2])
    assert (answer.text, answer.input_tokens_server, answer.output_tokens_server) == (b" a b c", 4, 3)
    assert (answer.server_arrival_ns, answer.server_last_token_ns) == (5, 17), "the LLM API sends numbers as strings"


def test_the_llm_api_model_repeats_its_text_and_the_client_counts() -> None:
    request = b"POST / HTTP/1.1\r\n\r\n" + json.dumps({"text_input": "tell me more"}).encode()
    events = [{"text_output": f"tell me more{text}"} for text in (" one", " one two", " one two three")]
    decode = recounting(triton_http.decode, lambda text: len(text.split()))
    answer = decode(_call(*events, request=request))
    assert (answer.text, answer.chunk_tokens) == (b" one two three", [1, 1, 1])
    assert (answer.output_tokens_server, answer.output_tokens_client) == (None, 3)


def test_a_chat_answer_is_counted_by_its_usage_chunk() -> None:
    chunks = [{"choices": [{"delta": delta}]} for delta in ({"role": "assistant"}, {"content": "a"}, {"content": "b"})]
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    answer = openai.decode(_call(*chunks, usage, "[DONE]"))
    assert (answer.outcome, answer.chunk_tokens, answer.text) == ("ok", [0, 1, 1], b"ab")
    assert (answer.input_tokens_server, answer.output_tokens_server) == (9, 2)


def test_usage_with_every_chunk_counts_each_of_them() -> None:
    chunks = [{"choices": [{"text": "x"}], "usage": {"prompt_tokens": 9, "completion_tokens": told}} for told in (3, 4)]
    answer = openai.decode(_call(*chunks, "[DONE]"))
    assert (answer.chunk_tokens, answer.output_tokens_server) == ([3, 1], 4)


def test_a_whole_answer_has_counts_and_no_chunk() -> None:
    body = {"choices": [{"message": {"content": "a b"}, "finish_reason": "length"}]}
    answer = openai.decode(_call(body | {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}, streamed=False))
    assert (answer.outcome, answer.chunk_stamps_ns, answer.output_tokens_server, answer.text) == ("ok", [], 2, b"a b")


def test_a_prompt_repeated_in_a_whole_answer_is_no_output() -> None:
    request = b"POST / HTTP/1.1\r\n\r\n" + json.dumps({"text_input": "a long prompt"}).encode()
    body = {"text_output": "a long prompt x y", "num_output_tokens": 5, "num_input_tokens": 3}
    answer = triton_http.decode(_call(body, request=request, streamed=False))
    assert (answer.text, answer.output_tokens_server) == (b" x y", 2)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (429, {"error": "slow down"}, "rejected"),
        (503, {"error": "busy"}, "rejected"),
        (401, {"error": "no key"}, "server_error"),
        (400, {"object": "error", "message": "Extra inputs are not permitted"}, "server_error"),
        (500, {"error": {"message": "Exceeds maximum queue size"}}, "rejected"),
    ],
)
def test_http_statuses_become_outcomes_with_the_servers_words(status: int, body: dict[str, Any], outcome: str) -> None:
    answer = openai.decode(_call(body, status=status))
    said = body.get("message") or body["error"]
    assert answer.outcome == outcome
    assert answer.error == f"HTTP {status} Reason: {said['message'] if isinstance(said, dict) else said}"


def test_an_error_event_after_tokens_is_a_failure_although_the_status_is_200() -> None:
    answer = triton_http.decode(_call({"text_output": "a", "num_output_tokens": 1}, {"error": "out of memory"}))
    assert (answer.outcome, answer.error, answer.chunk_tokens) == ("server_error", "out of memory", [1])


def test_a_cut_is_a_bad_stream_and_a_connection_that_brought_nothing_a_connect_error() -> None:
    cut, nothing = _call({"text_output": "a"}), HttpCall(lambda: None)
    for call in (cut, nothing):
        call.lost, call.status, call.status_message = True, 14, "closed"
    assert (triton_http.decode(cut).outcome, triton_http.decode(nothing).outcome) == ("bad_stream", "connect_error")


def test_a_stream_without_its_end_mark_is_bad() -> None:
    assert openai.decode(_call({"choices": [{"text": "a"}]})).outcome == "bad_stream"


def test_comments_that_keep_the_line_open_are_no_chunks() -> None:
    call = _call({"choices": [{"text": "a", "finish_reason": "length"}]})
    call.messages.insert(0, b": ping")
    call.stamps.insert(0, 50)
    answer = openai.decode(call)
    assert (answer.outcome, answer.chunk_stamps_ns) == ("ok", [100])
