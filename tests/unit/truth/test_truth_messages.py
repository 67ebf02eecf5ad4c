"""Messages in both directions against Google's protobuf with Triton's own definitions, as the independent oracle."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from harness.truth import models, wire
from harness.truth.asked import read_request
from harness.truth.behaviour import Behaviour
from harness.truth.counting import Words
from harness.truth.grpc import PREFIX_SIZE, GrpcError, Status
from harness.truth.replies import Chunk, Replies, failed

_KINDS = {"BYTES": object, "INT32": np.int32, "BOOL": bool}
_FLAGS = ("return_num_input_tokens", "return_num_output_tokens", "return_perf_metrics")


def request(model: str, inputs: dict[str, tuple[str, object]], **fields: object) -> service_pb2.ModelInferRequest:
    """A request as tritonclient would build it: raw contents, batch size 1."""
    message = service_pb2.ModelInferRequest(model_name=model, **fields)
    for name, (datatype, value) in inputs.items():
        array = np.array([value], dtype=_KINDS[datatype])
        tensor = triton.InferInput(name, array.shape, datatype)
        tensor.set_data_from_numpy(array)
        message.inputs.append(tensor._get_tensor())
        message.raw_input_contents.append(tensor._get_content())
    return message


def text_request(**extra: tuple[str, object]) -> service_pb2.ModelInferRequest:
    """One request to `ensemble`: three words, seven tokens."""
    inputs = {"text_input": ("BYTES", [b"one two three"]), "max_tokens": ("INT32", [7]), "stream": ("BOOL", [True])}
    return request("ensemble", {**inputs, **extra}, id="r-1")


def ids_request(**extra: tuple[str, object]) -> service_pb2.ModelInferRequest:
    """One request to `tensorrt_llm`: four ids of which three count, seven tokens."""
    inputs = {"input_ids": ("INT32", [5, 6, 7, 0]), "input_lengths": ("INT32", [3])}
    budget = {"request_output_len": ("INT32", [7]), "streaming": ("BOOL", [True])}
    return request("tensorrt_llm", {**inputs, **budget, **extra}, id="r-2")


def streamed(message: service_pb2.ModelInferRequest, chunk: Chunk) -> service_pb2.ModelInferResponse:
    asked = read_request(message.SerializeToString(), Words())
    framed = Replies(asked, Words(), Behaviour()).streamed(chunk)
    return service_pb2.ModelStreamInferResponse.FromString(framed[PREFIX_SIZE:]).infer_response


def outputs(response: service_pb2.ModelInferResponse) -> dict[str, tuple[tuple[int, ...], bytes]]:
    assert len(response.outputs) == len(response.raw_output_contents)
    described = zip(response.outputs, response.raw_output_contents, strict=True)
    return {output.name: (tuple(output.shape), raw) for output, raw in described}


def test_a_text_request_is_understood() -> None:
    asked = read_request(text_request().SerializeToString(), Words())
    assert (asked.model.name, asked.request_id, asked.prompt) == ("ensemble", "r-1", "one two three")
    assert (asked.input_tokens, asked.output_tokens, asked.is_streaming) == (3, 7, True)
    assert not asked.wants_output_count


def test_input_ids_are_trimmed_to_input_lengths() -> None:
    asked = read_request(ids_request().SerializeToString(), Words())
    assert (asked.prompt, asked.input_tokens, asked.output_tokens) == ((5, 6, 7), 3, 7)


def test_the_parameter_for_an_empty_final_response_is_seen() -> None:
    message = text_request()
    message.parameters["other"].int64_param = 1
    assert not read_request(message.SerializeToString(), Words()).wants_empty_final
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    assert read_request(message.SerializeToString(), Words()).wants_empty_final


def _wrong_shape() -> service_pb2.ModelInferRequest:
    message = text_request()
    message.inputs[1].shape[:] = [1]
    return message


@pytest.mark.parametrize(
    ("message", "status", "words"),
    [
        (request("gpt", {}), Status.NOT_FOUND, "unknown model: 'gpt'"),
        (text_request(max_token=("INT32", [7])), Status.INVALID_ARGUMENT, "unexpected inference input 'max_token'"),
        (text_request(max_tokens=("BYTES", [b"7"])), Status.INVALID_ARGUMENT, "data-type is 'BYTES'"),
        (text_request(max_tokens=("INT32", [0])), Status.INVALID_ARGUMENT, "must be a single value > 0"),
        (text_request(max_tokens=("INT32", [2**31 - 1])), Status.INVALID_ARGUMENT, "max_tokens is 2147483647"),
        (request("ensemble", {"max_tokens": ("INT32", [1])}), Status.INVALID_ARGUMENT, "'text_input' is missing"),
        (ids_request(input_lengths=("INT32", [5])), Status.INVALID_ARGUMENT, "input_lengths is 5"),
        (_wrong_shape(), Status.INVALID_ARGUMENT, "unexpected shape for input 'max_tokens'"),
    ],
)
def test_a_wrong_request_is_refused_by_name(message: service_pb2.ModelInferRequest, status: Status, words: str) -> None:
    with pytest.raises(GrpcError, match=words) as refused:
        read_request(message.SerializeToString(), Words())
    assert refused.value.status is status


def test_a_damaged_request_is_an_error_and_no_crash() -> None:
    message = text_request().SerializeToString()
    with pytest.raises(GrpcError):
        read_request(message[:-1], Words())


def test_optional_outputs_are_absent_unless_asked_for() -> None:
    assert list(outputs(streamed(text_request(), Chunk(0, 1, False)))) == ["text_output"]
    assert list(outputs(streamed(ids_request(), Chunk(0, 1, False)))) == ["output_ids", "sequence_length"]


def test_a_text_chunk_says_which_tokens_it_carries_and_how_many() -> None:
    response = streamed(text_request(**{flag: ("BOOL", [True]) for flag in _FLAGS}), Chunk(4, 2, False))
    assert (response.model_name, response.model_version, response.id) == ("ensemble", "1", "r-1")
    assert response.parameters["triton_final_response"].bool_param is False
    assert outputs(response) == {
        "text_output": ((1, 1), struct.pack("<I", 6) + b" t4 t5"),
        "num_input_tokens": ((1, 1), struct.pack("<i", 3)),
        "num_output_tokens": ((1, 1), struct.pack("<i", 2)),
    }


def test_the_last_chunk_carries_the_flag_and_the_times() -> None:
    message = ids_request(return_perf_metrics=("BOOL", [True]))
    response = streamed(message, Chunk(6, 1, True, times=(10, 11, 12, 13)))
    assert response.parameters["triton_final_response"].bool_param is True
    found = outputs(response)
    assert found["output_ids"] == ((1, 1, 1), struct.pack("<i", 1006))
    assert found["sequence_length"] == ((1, 1), struct.pack("<i", 1))
    assert [found[name][1] for name in models.TIMES] == [struct.pack("<q", value) for value in (10, 11, 12, 13)]


def test_without_streaming_the_prompt_is_repeated_unless_excluded() -> None:
    whole = ids_request(streaming=("BOOL", [False]), return_num_output_tokens=("BOOL", [True]))
    found = outputs(streamed(whole, Chunk(0, 2, True)))
    assert found["output_ids"] == ((1, 1, 5), struct.pack("<5i", 5, 6, 7, 1000, 1001))
    assert found["num_output_tokens"][1] == struct.pack("<i", 5)
    without = ids_request(streaming=("BOOL", [False]), exclude_input_in_output=("BOOL", [True]))
    assert outputs(streamed(without, Chunk(0, 2, True)))["output_ids"][1] == struct.pack("<2i", 1000, 1001)


def test_wrong_claims_change_the_numbers_and_not_the_tokens() -> None:
    message = text_request(**{flag: ("BOOL", [True]) for flag in _FLAGS[:2]})
    behaviour = Behaviour(claimed_input_tokens_off_by=-1, claimed_output_tokens_off_by=5)
    replies = Replies(read_request(message.SerializeToString(), Words()), Words(), behaviour)
    for is_last, claimed in ((False, 1), (True, 6)):
        framed = replies.streamed(Chunk(0, 1, is_last))
        found = outputs(service_pb2.ModelStreamInferResponse.FromString(framed[PREFIX_SIZE:]).infer_response)
        assert found["num_output_tokens"][1] == struct.pack("<i", claimed)
        assert found["num_input_tokens"][1] == struct.pack("<i", 2)
        assert found["text_output"][1].endswith(b" t0")


def test_an_error_in_the_stream_is_a_message_with_the_request_id() -> None:
    response = service_pb2.ModelStreamInferResponse.FromString(failed("it broke", "r-9")[PREFIX_SIZE:])
    assert (response.error_message, response.infer_response.id) == ("it broke", "r-9")


@pytest.mark.parametrize("model", models.MODELS.values(), ids=list(models.MODELS))
def test_metadata_and_configuration_name_the_same_tensors(model: models.Model) -> None:
    metadata = service_pb2.ModelMetadataResponse.FromString(models.metadata(model))
    answer = service_pb2.ModelConfigResponse.FromString(models.configuration(model, decoupled=True))
    configuration = answer.config
    assert [tensor.name for tensor in metadata.inputs] == [tensor.name for tensor in configuration.input]
    assert [tensor.name for tensor in metadata.outputs] == [tensor.name for tensor in configuration.output]
    for described, configured in zip(metadata.inputs, configuration.input, strict=True):
        assert list(described.shape) == [-1, *configured.dims]
    assert configuration.model_transaction_policy.decoupled
    required = {tensor.name for tensor in configuration.input if not tensor.optional}
    assert {model.prompt, model.budget} <= required


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1])
def test_numbers_are_encoded_as_protobuf_does(value: int) -> None:
    expected = service_pb2.InferParameter(int64_param=value).SerializeToString()
    assert b"\x10" + wire.varint(value) == expected
