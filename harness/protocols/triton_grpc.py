"""Triton's ModelStreamInfer for the classic TensorRT-LLM models: the bytes of requests, built before the run.

Two models: `ensemble` (or any model with `text_input`: text in, text out) and `tensorrt_llm` (token ids in, token ids
out). Optional tensors are only sent when the model's metadata names them. The output length is pinned: `end_id` -1
switches the end token off. What comes back is decoded in `triton_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.errors import UsageError
from harness.protocols.protobuf_wire import delimited, varint

PATH = "/inference.GRPCInferenceService/ModelStreamInfer"

_SIZES = {"BOOL": 1, "INT8": 1, "UINT8": 1, "INT32": 4, "UINT32": 4, "INT64": 8, "UINT64": 8}
_NUMPY = {"INT32": "<i4", "INT64": "<i8", "UINT32": "<u4"}
_ALWAYS = ("return_num_input_tokens", "return_num_output_tokens", "return_perf_metrics", "exclude_input_in_output")


@dataclass(frozen=True)
class ModelContract:
    """What a model's metadata says: tensor name → Triton datatype ("INT32"), and whether shapes lead with a batch."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str] = field(default_factory=dict)
    batched: bool = True

    @property
    def takes_text(self) -> bool:
        """Text in, text out; otherwise token ids."""
        return "text_input" in self.inputs


def assumed(model: str) -> ModelContract:
    """The least a classic model has, for a server that does not tell its tensors: counts are then not asked for."""
    if model == "tensorrt_llm":
        names = {"input_ids": "INT32", "input_lengths": "INT32", "request_output_len": "INT32", "streaming": "BOOL"}
        return ModelContract(model, names | {"end_id": "INT32"})
    return ModelContract(model, {"text_input": "BYTES", "max_tokens": "INT32", "stream": "BOOL", "end_id": "INT32"})


def check(contract: ModelContract) -> None:
    """Raise UsageError when the model is neither of the two kinds this module can talk to."""
    wanted = (
        ("text_input", "max_tokens") if contract.takes_text else ("input_ids", "input_lengths", "request_output_len")
    )
    missing = [name for name in wanted if name not in contract.inputs]
    if missing:
        raise UsageError(
            f"model {contract.model!r} is not a classic TensorRT-LLM model: it has no input {missing[0]!r}",
            hint=f"its inputs: {', '.join(sorted(contract.inputs)) or 'none'}",
        )


class RequestEncoder:
    """Builds the bytes of ModelInferRequest messages for one model; everything that never changes is built once."""

    def __init__(self, contract: ModelContract) -> None:
        check(contract)
        self._contract = contract
        self._length_input = "max_tokens" if contract.takes_text else "request_output_len"
        constants = self._constants()
        parameter = delimited(1, b"triton_enable_empty_final_response") + delimited(2, b"\x08\x01")
        self._head = delimited(1, contract.model.encode()) + delimited(4, parameter)
        self._constant_inputs = b"".join(self._describe(name, 1) for name in constants)
        self._constant_raw = b"".join(delimited(7, self._scalar(name, value)) for name, value in constants.items())
        self._length_input_bytes = self._describe(self._length_input, 1)
        self._text_input = self._describe("text_input", 1) if contract.takes_text else b""

    def text(self, request_id: str, text: bytes, output_tokens: int) -> bytes:
        """A request of a text model."""
        raw = delimited(7, len(text).to_bytes(4, "little") + text)
        return self._message(request_id, self._text_input, raw, output_tokens)

    def ids(self, request_id: str, ids: np.ndarray[tuple[int], np.dtype[np.int32]], output_tokens: int) -> bytes:
        """A request of the token-id model; `ids` has shape [input tokens]."""
        inputs = self._describe("input_ids", len(ids)) + self._describe("input_lengths", 1)
        raw = delimited(7, np.ascontiguousarray(ids, _NUMPY[self._contract.inputs["input_ids"]]).tobytes())
        raw += delimited(7, self._scalar("input_lengths", len(ids)))
        return self._message(request_id, inputs, raw, output_tokens)

    def _message(self, request_id: str, inputs: bytes, raw: bytes, output_tokens: int) -> bytes:
        """Descriptions of the inputs first, raw contents in the same order behind them."""
        return b"".join(
            (
                self._head,
                delimited(3, request_id.encode()),
                inputs,
                self._length_input_bytes,
                self._constant_inputs,
                raw,
                delimited(7, self._scalar(self._length_input, output_tokens)),
                self._constant_raw,
            )
        )

    def _constants(self) -> dict[str, int | bool]:
        """The tensors that are the same in every request, as far as the model has them."""
        offered = self._contract.inputs
        wanted: dict[str, int | bool] = {"stream": True} if self._contract.takes_text else {"streaming": True}
        wanted |= dict.fromkeys(_ALWAYS, True)
        wanted |= {"end_id": -1, "beam_width": 1}
        return {name: value for name, value in wanted.items() if name in offered}

    def _describe(self, name: str, length: int) -> bytes:
        shape = varint(1) + varint(length) if self._contract.batched else varint(length)
        datatype = self._contract.inputs[name].encode()
        return delimited(5, delimited(1, name.encode()) + delimited(2, datatype) + delimited(3, shape))

    def _scalar(self, name: str, value: int | bool) -> bytes:
        return int(value).to_bytes(_SIZES[self._contract.inputs[name]], "little", signed=value < 0)
