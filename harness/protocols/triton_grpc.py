"""Triton's ModelStreamInfer: the bytes of requests to TensorRT-LLM models, built before the run.

What goes into a request follows from the model's contract. A request that does not stream uses the same call: it is
the one that works for decoupled models too. What comes back is decoded in `triton_answer`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from harness.protocols.contract import ModelContract, assumed, check
from harness.protocols.encoder import Header, RequestOptions
from harness.protocols.protobuf_wire import delimited, varint

__all__ = ["PATH", "ModelContract", "RequestEncoder", "assumed", "check", "prompt_of"]

PATH = "/inference.GRPCInferenceService/ModelStreamInfer"

_SIZES = {"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "INT32": 4, "UINT32": 4, "INT64": 8, "UINT64": 8}
_NUMPY = {"INT32": "<i4", "INT64": "<i8", "UINT32": "<u4", "UINT64": "<u8"}


class RequestEncoder:
    """Builds the bytes of ModelInferRequest messages for one model; everything that never changes is built once.

    Headers of a single request are no part of the message: `extra` is ignored, they travel in the call's header block.
    """

    def __init__(self, contract: ModelContract, options: RequestOptions = RequestOptions()) -> None:  # noqa: B008
        """Raises UsageError when the model is of no kind that is known."""
        check(contract)
        self._contract = contract
        constants = contract.constants(streamed=options.streamed)
        parameter = delimited(1, b"triton_enable_empty_final_response") + delimited(2, b"\x08\x01")
        self._head = delimited(1, contract.model.encode()) + delimited(4, parameter)
        self._constant_inputs = b"".join(self._describe(name, 1) for name in constants)
        self._constant_raw = b"".join(delimited(7, self._scalar(name, value)) for name, value in constants.items())
        self._length_inputs = b"".join(self._describe(name, 1) for name in contract.length_inputs)
        self._text_input = self._describe("text_input", 1) if contract.takes_text else b""

    def text(self, request_id: str, text: bytes, output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        """A request of a text model."""
        raw = delimited(7, len(text).to_bytes(4, "little") + text)
        return self._message(request_id, self._text_input, raw, output_tokens)

    def ids(self, request_id: str, ids: NDArray[np.int32], output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        """A request of the token-id model; `ids` has shape [input tokens]."""
        inputs = self._describe("input_ids", len(ids)) + self._describe("input_lengths", 1)
        raw = delimited(7, np.ascontiguousarray(ids, _NUMPY[self._contract.inputs["input_ids"]]).tobytes())
        raw += delimited(7, self._scalar("input_lengths", len(ids)))
        return self._message(request_id, inputs, raw, output_tokens)

    def _message(self, request_id: str, inputs: bytes, raw: bytes, output_tokens: int) -> bytes:
        """Descriptions of the inputs first, raw contents in the same order behind them."""
        lengths = b"".join(delimited(7, self._scalar(name, output_tokens)) for name in self._contract.length_inputs)
        return b"".join(
            (
                self._head,
                delimited(3, request_id.encode()),
                inputs,
                self._length_inputs,
                self._constant_inputs,
                raw,
                lengths,
                self._constant_raw,
            )
        )

    def _describe(self, name: str, length: int) -> bytes:
        shape = varint(1) + varint(length) if self._contract.batched else varint(length)
        datatype = self._contract.inputs[name].encode()
        return delimited(5, delimited(1, name.encode()) + delimited(2, datatype) + delimited(3, shape))

    def _scalar(self, name: str, value: int | bool) -> bytes:
        return int(value).to_bytes(_SIZES[self._contract.inputs[name]], "little", signed=value < 0)


def prompt_of(message: bytes) -> bytes:
    """The prompt in a request's bytes: UTF-8 text, or token ids as they were sent."""
    request = service_pb2.ModelInferRequest.FromString(message)
    contents = dict(zip((tensor.name for tensor in request.inputs), request.raw_input_contents, strict=True))
    return bytes(contents["text_input"][4:] if "text_input" in contents else contents.get("input_ids", b""))
