"""Answers are decoded from messages that Triton's own protobuf classes wrote."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from harness.protocols.grpc_frames import Call
from harness.protocols.triton_answer import decode
from harness.protocols.triton_grpc import ModelContract, RequestEncoder

COUNT = np.dtype("<i4")


def _message(outputs: dict[str, bytes], *, final: bool = False, request_id: str = "p/-/0/1") -> bytes:
    response = service_pb2.ModelStreamInferResponse()
    infer = response.infer_response
    infer.model_name, infer.model_version, infer.id = "ensemble", "1", request_id
    infer.parameters["triton_final_response"].bool_param = final
    for name, raw in outputs.items():
        output = infer.outputs.add()
        output.name, output.datatype = name, "BYTES" if name == "text_output" else "INT32"
        output.shape.extend([1, 1])
        infer.raw_output_contents.append(raw)
    return bytes(response.SerializeToString())


def _text(text: str, tokens: int | None = 1, **more: bytes) -> dict[str, bytes]:
    raw = text.encode()
    outputs = {"text_output": len(raw).to_bytes(4, "little") + raw}
    if tokens is not None:
        outputs["num_output_tokens"] = np.int32(tokens).tobytes()
    return outputs | more


def _call(messages: list[bytes], status: int | None = 0, text: str = "") -> Call:
    call = Call(lambda: None)
    call.messages, call.stamps = messages, [100 * (i + 1) for i in range(len(messages))]
    call.status, call.status_message, call.ended_ns = status, text, 10_000
    return call


def test_counts_text_and_stamps_of_a_streamed_answer() -> None:
    words = ["first", " second", " Grüße " * 60, " last"]
    messages = [_message(_text(word), final=word == " last") for word in words]
    answer = decode(_call(messages))
    assert answer.outcome == "ok"
    assert answer.chunk_stamps_ns == [100, 200, 300, 400]
    assert answer.chunk_tokens == [1, 1, 1, 1]
    assert answer.text.decode() == "".join(words)
    assert (answer.output_tokens_server, answer.done_ns) == (4, 400)


def test_a_layout_that_changes_in_mid_stream_is_parsed_again() -> None:
    messages = [
        _message(_text("a", num_input_tokens=np.int32(12).tobytes())),
        _message(_text("b", 3)),
        _message(_text("c", 2), request_id="another"),
        _message({}, final=True),
    ]
    answer = decode(_call(messages))
    assert answer.chunk_tokens == [1, 3, 2]
    assert (answer.input_tokens_server, answer.output_tokens_server) == (12, 6)
    assert answer.done_ns == 400, "the flag-only final response ends the request, and is no chunk"


def test_server_instants_are_taken_over() -> None:
    times = {
        name: np.int64(value).tobytes()
        for name, value in [
            ("arrival_time_ns", 5),
            ("first_scheduled_time_ns", 6),
            ("first_token_time_ns", 7),
            ("last_token_time_ns", 2**40),
        ]
    }
    answer = decode(_call([_message(_text("a", **times), final=True)]))
    assert (answer.server_arrival_ns, answer.server_first_scheduled_ns) == (5, 6)
    assert (answer.server_first_token_ns, answer.server_last_token_ns) == (7, 2**40)


def test_without_counts_any_text_is_one_token_and_the_answer_says_so() -> None:
    messages = [_message(_text("a", None)), _message(_text("", None)), _message(_text("b", None), final=True)]
    answer = decode(_call(messages))
    assert answer.chunk_tokens == [1, 0, 1]
    assert (answer.tokens_counted, answer.output_tokens_server) == (False, None)


def test_token_ids_are_counted_by_their_sequence_length() -> None:
    outputs = {"output_ids": np.arange(3, dtype=COUNT).tobytes(), "sequence_length": np.int32(3).tobytes()}
    answer = decode(_call([_message(outputs, final=True)]))
    assert (answer.chunk_tokens, answer.tokens_counted, answer.output_tokens_server) == ([3], True, None)


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (8, "too many requests", "rejected"),
        (14, "queue is full", "rejected"),
        (4, "deadline exceeded", "timeout"),
        (3, "bad argument", "server_error"),
        (2, "HTTP 502", "server_error"),
    ],
)
def test_grpc_statuses_become_outcomes(status: int, text: str, outcome: str) -> None:
    answer = decode(_call([], status, text))
    assert (answer.outcome, answer.done_ns) == (outcome, 10_000)
    assert text in str(answer.error)


def test_tritons_own_error_message_is_a_failure_although_the_status_is_zero() -> None:
    message = service_pb2.ModelStreamInferResponse(error_message="Exceeds maximum queue size").SerializeToString()
    assert decode(_call([message])).outcome == "rejected"
    message = service_pb2.ModelStreamInferResponse(error_message="out of memory").SerializeToString()
    answer = decode(_call([_message(_text("a")), message]))
    assert (answer.outcome, answer.error, answer.chunk_tokens) == ("server_error", "out of memory", [1])


def test_a_lost_connection_is_a_connect_error_before_the_first_chunk_and_a_bad_stream_after_it() -> None:
    before, after = _call([], 14, "reset"), _call([_message(_text("a"))], 14, "reset")
    before.lost = after.lost = True
    assert (decode(before).outcome, decode(after).outcome) == ("connect_error", "bad_stream")


def test_a_stream_without_a_final_response_is_bad() -> None:
    assert decode(_call([_message(_text("a"))])).outcome == "bad_stream"


def _string(text: str) -> bytes:
    return len(text).to_bytes(4, "little") + text.encode()


def test_the_llm_api_model_repeats_its_text_and_sends_numbers_as_strings() -> None:
    messages = []
    for text in ("a", "a b", "a b c"):
        response = service_pb2.ModelStreamInferResponse()
        infer = response.infer_response
        infer.model_name = "tensorrt_llm"
        infer.parameters["triton_final_response"].bool_param = text == "a b c"
        for name, value in (("text_output", text), ("arrival_time_ns", "12345678"), ("last_token_time_ns", "1e3")):
            output = infer.outputs.add()
            output.name, output.datatype = name, "BYTES"
            output.shape.extend([1])
            infer.raw_output_contents.append(_string(value))
        messages.append(bytes(response.SerializeToString()))
    answer = decode(_call(messages))
    assert (answer.outcome, answer.text, answer.chunk_tokens) == ("ok", b"a b c", [1, 1, 1])
    assert (answer.server_arrival_ns, answer.server_last_token_ns) == (12345678, 1000)


def test_an_answer_that_was_not_streamed_has_counts_and_no_chunks() -> None:
    call = _call([_message(_text("a b c", 3), final=True)])
    call.streamed = False
    answer = decode(call)
    assert (answer.outcome, answer.chunk_stamps_ns, answer.chunk_tokens) == ("ok", [], [])
    assert (answer.output_tokens_server, answer.text) == (3, b"a b c")


def test_a_prompt_in_front_of_whole_token_ids_is_no_output() -> None:
    contract = ModelContract(
        "tensorrt_llm", {"input_ids": "INT32", "input_lengths": "INT32", "request_output_len": "INT32"}
    )
    ids = np.arange(10, 14, dtype=np.int32)
    both = np.concatenate([ids, np.arange(3, dtype=np.int32)]).astype(COUNT)
    call = _call([_message({"output_ids": both.tobytes(), "sequence_length": np.int32(7).tobytes()}, final=True)])
    call.request, call.streamed = RequestEncoder(contract).ids("r", ids, 3), False
    assert decode(call).output_tokens_client == 3
