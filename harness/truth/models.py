"""The two models the truth server offers, with the tensor contract of classic TensorRT-LLM.

Only the inputs a benchmark uses (all of them optional except where marked). Sampling inputs are accepted and have no
effect: the server draws no tokens. What the functions return is encoded protobuf, with the field numbers
of Triton's grpc_service.proto and model_config.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.truth import wire

VERSION: Final = "1"
MAX_BATCH_SIZE: Final = 64
_DATA_TYPES = {"BOOL": 1, "UINT64": 5, "INT32": 8, "INT64": 9, "FP32": 11, "BYTES": 13}
_EXTENSIONS = ("classification", "sequence", "model_repository", "schedule_policy", "model_configuration")


@dataclass(frozen=True)
class Tensor:
    """One input or output: dims without the batch dimension; `scalar`: with an empty reshape in the configuration."""

    name: str
    datatype: str
    dims: tuple[int, ...] = (1,)
    required: bool = False
    scalar: bool = False


@dataclass(frozen=True)
class Model:
    """A model's name and tensors; `prompt`, `budget`, `stream` name the inputs the truth server obeys."""

    name: str
    prompt: str
    budget: str
    stream: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def _tensors(datatype: str, *names: str, scalar: bool = False) -> tuple[Tensor, ...]:
    return tuple(Tensor(name, datatype, scalar=scalar) for name in names)


_RETURNS = ("return_perf_metrics", "return_num_input_tokens", "return_num_output_tokens")
_COUNTS = _tensors("INT32", "num_input_tokens", "num_output_tokens")
TIMES = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
_ON_REQUEST = (*_tensors("INT64", *TIMES), *_COUNTS)

ENSEMBLE = Model(
    name="ensemble",
    prompt="text_input",
    budget="max_tokens",
    stream="stream",
    inputs=(
        Tensor("text_input", "BYTES", required=True),
        Tensor("max_tokens", "INT32", required=True),
        Tensor("bad_words", "BYTES", (-1,)),
        Tensor("stop_words", "BYTES", (-1,)),
        *_tensors("BOOL", "exclude_input_in_output", *_RETURNS, "stream"),
        *_tensors("INT32", "end_id", "pad_id", "top_k", "min_tokens"),
        *_tensors("FP32", "top_p", "temperature", "length_penalty", "repetition_penalty"),
        *_tensors("FP32", "presence_penalty", "frequency_penalty"),
        *_tensors("UINT64", "seed"),
    ),
    outputs=(Tensor("text_output", "BYTES", (-1,)), *_ON_REQUEST),
)

TENSORRT_LLM = Model(
    name="tensorrt_llm",
    prompt="input_ids",
    budget="request_output_len",
    stream="streaming",
    inputs=(
        Tensor("input_ids", "INT32", (-1,), required=True),
        Tensor("input_lengths", "INT32", required=True, scalar=True),
        Tensor("request_output_len", "INT32", required=True, scalar=True),
        Tensor("stop_words_list", "INT32", (2, -1)),
        Tensor("bad_words_list", "INT32", (2, -1)),
        *_tensors("BOOL", "exclude_input_in_output", *_RETURNS, "streaming", scalar=True),
        *_tensors("INT32", "end_id", "pad_id", "runtime_top_k", "min_tokens", scalar=True),
        *_tensors("FP32", "runtime_top_p", "temperature", "len_penalty", "repetition_penalty", scalar=True),
        *_tensors("FP32", "presence_penalty", "frequency_penalty", scalar=True),
        *_tensors("UINT64", "seed", scalar=True),
    ),
    outputs=(Tensor("output_ids", "INT32", (-1, -1)), Tensor("sequence_length", "INT32", (-1,)), *_ON_REQUEST),
)

MODELS: Final = {model.name: model for model in (ENSEMBLE, TENSORRT_LLM)}


def server_metadata(*, statistics: bool) -> bytes:
    """ServerMetadataResponse."""
    extensions = (*_EXTENSIONS, "statistics") if statistics else _EXTENSIONS
    named = wire.text(1, "harness truth server") + wire.text(2, "2.0.0")
    return named + b"".join(wire.text(3, extension) for extension in extensions)


def metadata(model: Model) -> bytes:
    """ModelMetadataResponse."""
    described = wire.text(1, model.name) + wire.text(2, VERSION) + wire.text(3, _platform(model))
    inputs = b"".join(wire.blob(4, _described(tensor)) for tensor in model.inputs)
    return described + inputs + b"".join(wire.blob(5, _described(tensor)) for tensor in model.outputs)


def configuration(model: Model, *, decoupled: bool) -> bytes:
    """ModelConfigResponse."""
    named = wire.text(1, model.name) + wire.number(4, MAX_BATCH_SIZE)
    inputs = b"".join(wire.blob(5, _configured_input(tensor)) for tensor in model.inputs)
    outputs = b"".join(wire.blob(6, _configured_output(tensor)) for tensor in model.outputs)
    backend = wire.text(17, _platform(model)) + wire.blob(19, wire.number(1, decoupled))
    return wire.blob(1, named + inputs + outputs + backend)


def repository_index() -> bytes:
    """RepositoryIndexResponse."""
    rows = (wire.text(1, name) + wire.text(2, VERSION) + wire.text(3, "READY") for name in MODELS)
    return b"".join(wire.blob(1, row) for row in rows)


def _platform(model: Model) -> str:
    """Never "ensemble": perf_analyzer crashes on an ensemble whose configuration has no steps."""
    return "tensorrtllm" if model is TENSORRT_LLM else "python"


def _described(tensor: Tensor) -> bytes:
    return wire.text(1, tensor.name) + wire.text(2, tensor.datatype) + wire.numbers(3, (-1, *tensor.dims))


def _configured_input(tensor: Tensor) -> bytes:
    head = wire.text(1, tensor.name) + wire.number(2, _DATA_TYPES[tensor.datatype]) + wire.numbers(4, tensor.dims)
    return head + (wire.blob(5, b"") if tensor.scalar else b"") + wire.number(8, not tensor.required)


def _configured_output(tensor: Tensor) -> bytes:
    return wire.text(1, tensor.name) + wire.number(2, _DATA_TYPES[tensor.datatype]) + wire.numbers(3, tensor.dims)
