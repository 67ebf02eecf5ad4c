"""Our hand-written requests are read back with Triton's own protobuf classes."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from harness.errors import UsageError
from harness.protocols.triton_grpc import ModelContract, RequestEncoder

TEXT = ModelContract(
    "ensemble",
    {
        "text_input": "BYTES",
        "max_tokens": "INT32",
        "stream": "BOOL",
        "end_id": "INT32",
        "return_num_input_tokens": "BOOL",
        "return_num_output_tokens": "BOOL",
        "seed": "UINT64",
    },
)
IDS = ModelContract(
    "tensorrt_llm",
    {
        "input_ids": "INT32",
        "input_lengths": "INT32",
        "request_output_len": "INT32",
        "streaming": "BOOL",
        "end_id": "INT32",
    },
)


def _tensors(message: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    request = service_pb2.ModelInferRequest.FromString(message)
    assert len(request.inputs) == len(request.raw_input_contents)
    return {
        tensor.name: (tensor.datatype, list(tensor.shape), raw)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }


def test_a_text_request_is_what_triton_expects() -> None:
    message = RequestEncoder(TEXT).text("point/-/0/7", "Grüße".encode(), 300)
    request = service_pb2.ModelInferRequest.FromString(message)
    tensors = _tensors(message)
    assert (request.model_name, request.id) == ("ensemble", "point/-/0/7")
    assert request.parameters["triton_enable_empty_final_response"].bool_param is True
    assert tensors["text_input"] == ("BYTES", [1, 1], b"\x07\0\0\0" + "Grüße".encode())
    assert tensors["max_tokens"] == ("INT32", [1, 1], np.int32(300).tobytes())
    assert tensors["end_id"] == ("INT32", [1, 1], np.int32(-1).tobytes())
    assert tensors["stream"] == ("BOOL", [1, 1], b"\x01")
    assert tensors["return_num_output_tokens"] == ("BOOL", [1, 1], b"\x01")


def test_optional_tensors_the_model_lacks_are_not_sent() -> None:
    tensors = _tensors(RequestEncoder(TEXT).text("r", b"x", 1))
    assert "return_perf_metrics" not in tensors
    assert "seed" not in tensors


def test_an_id_request_carries_ids_and_their_length() -> None:
    ids = np.arange(500, dtype=np.int32)
    tensors = _tensors(RequestEncoder(IDS).ids("r", ids, 16))
    assert tensors["input_ids"] == ("INT32", [1, 500], ids.tobytes())
    assert tensors["input_lengths"] == ("INT32", [1, 1], np.int32(500).tobytes())
    assert tensors["request_output_len"] == ("INT32", [1, 1], np.int32(16).tobytes())
    assert tensors["streaming"][2] == b"\x01"


def test_shapes_without_a_batch_dimension_when_the_model_has_none() -> None:
    contract = ModelContract("m", TEXT.inputs, batched=False)
    assert _tensors(RequestEncoder(contract).text("r", b"x", 1))["max_tokens"][1] == [1]


def test_a_model_of_another_kind_is_refused_with_its_inputs() -> None:
    with pytest.raises(UsageError, match=r"'resnet' is not a classic TensorRT-LLM model.*input_ids") as caught:
        RequestEncoder(ModelContract("resnet", {"image": "FP32"}))
    assert "its inputs: image" in str(caught.value)
