"""ModelInferRequest decoded into what the truth server obeys, and refused with Triton's own words where it cannot be.

Tensors must come in `raw_input_contents` (tritonclient and perf_analyzer send them so). Batch size 1.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from harness.truth import wire
from harness.truth.counting import TokenCounter
from harness.truth.grpc import GrpcError, Status
from harness.truth.models import MODELS, Model, Tensor

MOST_OUTPUT_TOKENS = 1_000_000
_SIZES = {"BOOL": 1, "INT32": 4, "FP32": 4, "UINT64": 8, "INT64": 8}


@dataclass(frozen=True)
class Asked:
    """One inference request. `prompt`: text of `ensemble`, token ids of `tensorrt_llm`."""

    model: Model
    request_id: str
    prompt: str | tuple[int, ...]
    input_tokens: int
    output_tokens: int
    is_streaming: bool
    excludes_input: bool
    wants_input_count: bool
    wants_output_count: bool
    wants_times: bool
    wants_empty_final: bool


@dataclass(frozen=True)
class _Envelope:
    """The request's parts that need no model to be understood."""

    model: str
    request_id: str
    inputs: list[tuple[str, str, list[int]]]
    raw: list[bytes]
    wants_empty_final: bool


def read_request(message: bytes, counter: TokenCounter) -> Asked:
    """Decode and check one request. Raises GrpcError with the status Triton would give."""
    try:
        envelope = _envelope(message)
    except (ValueError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise GrpcError(Status.INTERNAL, f"the request cannot be decoded: {error}") from error
    model = find_model(envelope.model)
    tensors = _tensors(model, envelope)
    budget = _first_int(tensors[model.budget])
    prompt, input_tokens = _prompt(model, tensors, counter)
    if budget <= 0:
        raise GrpcError(Status.INVALID_ARGUMENT, f"{model.budget} must be a single value > 0")
    if budget > MOST_OUTPUT_TOKENS:
        raise GrpcError(Status.INVALID_ARGUMENT, f"{model.budget} is {budget}, more than {MOST_OUTPUT_TOKENS}")
    return Asked(
        model=model,
        request_id=envelope.request_id,
        prompt=prompt,
        input_tokens=input_tokens,
        output_tokens=budget,
        is_streaming=_flag(tensors, model.stream),
        excludes_input=_flag(tensors, "exclude_input_in_output"),
        wants_input_count=_flag(tensors, "return_num_input_tokens"),
        wants_output_count=_flag(tensors, "return_num_output_tokens"),
        wants_times=_flag(tensors, "return_perf_metrics"),
        wants_empty_final=envelope.wants_empty_final,
    )


def find_model(name: str) -> Model:
    """A model by name. Raises GrpcError NOT_FOUND."""
    try:
        return MODELS[name]
    except KeyError:
        message = f"Request for unknown model: '{name}' is not found"
        raise GrpcError(Status.NOT_FOUND, message) from None


def read_name(message: bytes) -> str:
    """Field 1 of the small requests that name a model."""
    return next((_decoded(value) for field, value in wire.fields(message) if field == 1), "")


def _envelope(message: bytes) -> _Envelope:
    texts = {1: "", 3: ""}
    inputs: list[tuple[str, str, list[int]]] = []
    raw: list[bytes] = []
    empty_final = False
    for field, value in wire.fields(message):
        if field in texts:
            texts[field] = _decoded(value)
        elif field == 4:
            empty_final |= _parameter(_blob(value)) == ("triton_enable_empty_final_response", True)
        elif field == 5:
            inputs.append(_input(_blob(value)))
        elif field == 7:
            raw.append(_blob(value))
    return _Envelope(texts[1], texts[3], inputs, raw, empty_final)


def _parameter(message: bytes) -> tuple[str, bool]:
    """A parameter's name and its value if that is a bool (False for any other kind)."""
    name, flag = "", False
    for field, value in wire.fields(message):
        if field == 1:
            name = _decoded(value)
        elif field == 2:
            flag = any(kind == 1 and bool(content) for kind, content in wire.fields(_blob(value)))
    return name, flag


def _input(message: bytes) -> tuple[str, str, list[int]]:
    name, datatype, shape = "", "", list[int]()
    for field, value in wire.fields(message):
        if field == 1:
            name = _decoded(value)
        elif field == 2:
            datatype = _decoded(value)
        elif field == 3:
            shape += wire.packed(value)
    return name, datatype, shape


def _tensors(model: Model, envelope: _Envelope) -> dict[str, bytes]:
    """Raw content by input name, checked against the model's contract."""
    known = {tensor.name: tensor for tensor in model.inputs}
    if len(envelope.raw) != len(envelope.inputs):
        message = (
            f"expected {len(envelope.inputs)} raw_input_contents but got {len(envelope.raw)} for model '{model.name}'"
        )
        raise GrpcError(Status.INVALID_ARGUMENT, message)
    contents = {}
    for (name, datatype, shape), raw in zip(envelope.inputs, envelope.raw, strict=True):
        if name not in known:
            message = f"[request id: {envelope.request_id or '<id_unknown>'}] unexpected inference input '{name}'"
            raise GrpcError(Status.INVALID_ARGUMENT, f"{message} for model '{model.name}'")
        _check_tensor(known[name], datatype, shape, raw, model)
        contents[name] = raw
    missing = [tensor.name for tensor in model.inputs if tensor.required and tensor.name not in contents]
    if missing:
        message = f"input '{missing[0]}' is missing for model '{model.name}'"
        raise GrpcError(Status.INVALID_ARGUMENT, message)
    return contents


def _check_tensor(tensor: Tensor, datatype: str, shape: list[int], raw: bytes, model: Model) -> None:
    expected = (-1, *tensor.dims)
    if datatype != tensor.datatype:
        message = f"inference input '{tensor.name}' data-type is '{datatype}', but model '{model.name}' expects"
        raise GrpcError(Status.INVALID_ARGUMENT, f"{message} '{tensor.datatype}'")
    fits = len(shape) == len(expected) and all(want in (-1, have) for want, have in zip(expected, shape, strict=True))
    if not fits or shape[0] != 1:
        message = f"unexpected shape for input '{tensor.name}' for model '{model.name}'. Expected"
        raise GrpcError(Status.INVALID_ARGUMENT, f"{message} {[1, *tensor.dims]}, got {shape}")
    size = _SIZES.get(datatype)
    if size is not None and len(raw) != size * math.prod(shape):
        message = (
            f"unexpected total byte size {len(raw)} for input '{tensor.name}', expecting {size * math.prod(shape)}"
        )
        raise GrpcError(Status.INVALID_ARGUMENT, message)


def _prompt(model: Model, tensors: dict[str, bytes], counter: TokenCounter) -> tuple[str | tuple[int, ...], int]:
    raw = tensors[model.prompt]
    if model.prompt == "text_input":
        text = _only_string(raw)
        return text, counter.count(text)
    length = _first_int(tensors["input_lengths"])
    if not 0 < length <= len(raw) // 4:
        raise GrpcError(Status.INVALID_ARGUMENT, f"input_lengths is {length}, but input_ids holds {len(raw) // 4} ids")
    return struct.unpack_from(f"<{length}i", raw), length


def _only_string(raw: bytes) -> str:
    """A BYTES tensor of one element: four bytes of length, then the text."""
    if len(raw) < 4 or int.from_bytes(raw[:4], "little") != len(raw) - 4:
        raise GrpcError(Status.INVALID_ARGUMENT, "text_input must hold one string")
    return raw[4:].decode(errors="replace")


def _first_int(raw: bytes) -> int:
    return int.from_bytes(raw[:4], "little", signed=True)


def _flag(tensors: dict[str, bytes], name: str) -> bool:
    return tensors.get(name, b"\0")[:1] != b"\0"


def _blob(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _decoded(value: int | bytes) -> str:
    return _blob(value).decode()
