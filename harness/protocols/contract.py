"""What a Triton model takes and gives, as its metadata says it, and which tensors a request to it carries.

Three kinds of TensorRT-LLM models: `text` (`ensemble`, `tensorrt_llm_bls`: text in, text out), `ids` (the classic
`tensorrt_llm`: token ids in and out) and `llmapi` (the LLM-API model, also called `tensorrt_llm`: text, no batch
dimension, `sampling_param_*`). The kind is read from the tensors, never from the model's name. Sources:
`triton_backend/all_models` of TensorRT-LLM. Not here: bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.errors import UsageError

Kind = Literal["text", "ids", "llmapi"]

_REQUIRED: Mapping[Kind, tuple[str, ...]] = {
    "text": ("text_input", "max_tokens"),
    "ids": ("input_ids", "input_lengths", "request_output_len"),
    "llmapi": ("text_input", "sampling_param_max_tokens"),
}
_STREAM = ("stream", "streaming")  # the ensemble and BLS say one, the engine's model the other
_LEAST = ("min_tokens", "min_length")  # the second is the name of older releases
_WANTED: tuple[tuple[str, int | bool], ...] = (
    ("return_num_input_tokens", True),
    ("return_num_output_tokens", True),
    ("return_perf_metrics", True),
    ("exclude_input_in_output", True),
    ("end_id", -1),  # no end token: the answer has the length asked for
    ("beam_width", 1),
    ("sampling_param_exclude_input_from_output", True),
    ("sampling_param_return_perf_metrics", True),
)


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

    @property
    def kind(self) -> Kind:
        """Which of the three kinds of models this is."""
        if not self.takes_text:
            return "ids"
        return "llmapi" if "sampling_param_max_tokens" in self.inputs else "text"

    @property
    def counts_tokens(self) -> bool:
        """Whether answers tell how many tokens they have: as a count, or by being token ids."""
        return self.kind == "ids" or "return_num_output_tokens" in self.inputs

    @property
    def length_inputs(self) -> tuple[str, ...]:
        """The inputs that carry the number of output tokens asked for.

        Besides the budget that is the least length, where there is no end token that could be switched off.
        """
        least = () if "end_id" in self.inputs else self._offered(_LEAST)
        return (_REQUIRED[self.kind][-1], *least)

    def constants(self, *, streamed: bool) -> dict[str, int | bool]:
        """The inputs that are the same in every request, as far as the model has them."""
        stream = [(name, streamed) for name in self._offered(_STREAM)]
        return dict(stream) | {name: value for name, value in _WANTED if name in self.inputs}

    def _offered(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The first of these names that the model has, if any: they are one input under the names of two releases."""
        return tuple(name for name in names if name in self.inputs)[:1]


def assumed(model: str) -> ModelContract:
    """The least a classic model has, for a server that does not tell its tensors: counts are then not asked for."""
    if model == "tensorrt_llm":
        names = {"input_ids": "INT32", "input_lengths": "INT32", "request_output_len": "INT32", "streaming": "BOOL"}
        return ModelContract(model, names | {"end_id": "INT32"})
    return ModelContract(model, {"text_input": "BYTES", "max_tokens": "INT32", "stream": "BOOL", "end_id": "INT32"})


def check(contract: ModelContract) -> None:
    """Raise UsageError when the model is none of the three kinds."""
    missing = [name for name in _REQUIRED[contract.kind] if name not in contract.inputs]
    if missing:
        raise UsageError(
            f"model {contract.model!r} is not a classic TensorRT-LLM model, nor one of the LLM API:"
            f" it has no input {missing[0]!r}",
            hint=f"its inputs: {', '.join(sorted(contract.inputs)) or 'none'}",
        )
