"""The Triton model `postprocessing`: token ids to text, with the tensors of TensorRT-LLM's model of this name.

It keeps nothing between calls: while streaming, each call decodes the tokens of one step alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

TRUE = ("true", "1", "t", "y", "yes")


class TritonPythonModel:
    """See Triton's Python backend for the life cycle."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = {name: v["string_value"] for name, v in json.loads(args["model_config"])["parameters"].items()}
        self._tokenizer = Tokenizer.from_file(str(Path(parameters["tokenizer_dir"]) / "tokenizer.json"))
        self._skips_special = parameters["skip_special_tokens"].lower() in TRUE

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        texts = [
            self._tokenizer.decode([int(token) for token in beam[:length]], skip_special_tokens=self._skips_special)
            for beam, length in beams(inputs["TOKENS_BATCH"], inputs["SEQUENCE_LENGTH"])
        ]
        output = np.array([text.encode() for text in texts], dtype=object)  # one axis, as TensorRT-LLM's model has it
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", output)])


def beams(tokens: np.ndarray, lengths: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Each beam's ids with how many of them count; `tokens` is [rows, beams, longest], `lengths` [rows, beams]."""
    flat = tokens.reshape(lengths.size, -1) if lengths.size else tokens.reshape(0, 1)
    return [(row, int(length)) for row, length in zip(flat, lengths.reshape(-1), strict=True)]
