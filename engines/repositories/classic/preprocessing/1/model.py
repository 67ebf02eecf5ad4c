"""The Triton model `preprocessing`: text to token ids, with the tensors of TensorRT-LLM's model of this name.

Text only. The tokenizer is the folder's tokenizer.json; which id ends a text stands in config.json beside it. An input
that nobody sent leaves its output out: the next model has it as optional.
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
        folder = Path(parameters["tokenizer_dir"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._adds_special = parameters["add_special_tokens"].lower() in TRUE
        self._end_id, self._pad_id = end_and_pad(json.loads((folder / "config.json").read_text()))

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            outputs = self._outputs(inputs)
        except ValueError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])

    def _outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        prompts = [self._encode(text) for text in inputs["QUERY"].reshape(-1)]
        rows = len(prompts)
        outputs = {
            "INPUT_ID": padded(prompts, self._pad_id),
            "REQUEST_INPUT_LEN": column([len(prompt) for prompt in prompts]),
            "REQUEST_OUTPUT_LEN": inputs["REQUEST_OUTPUT_LEN"].reshape(rows, -1),
            "OUT_END_ID": inputs.get("END_ID", column([self._end_id] * rows)).reshape(rows, 1),
            "OUT_PAD_ID": inputs.get("PAD_ID", column([self._pad_id] * rows)).reshape(rows, 1),
        }
        if "DECODER_QUERY" in inputs:
            begins = [self._encode(text) for text in inputs["DECODER_QUERY"].reshape(-1)]
            outputs["DECODER_INPUT_ID"] = padded(begins, self._pad_id)
            outputs["REQUEST_DECODER_INPUT_LEN"] = column([len(begin) for begin in begins])
        for name, output in (("BAD_WORDS_DICT", "BAD_WORDS_IDS"), ("STOP_WORDS_DICT", "STOP_WORDS_IDS")):
            if name in inputs:
                outputs[output] = word_lists([self._words(row) for row in inputs[name]])
        if "EMBEDDING_BIAS_WORDS" in inputs:
            outputs["EMBEDDING_BIAS"] = self._biases(inputs)
        if "PROMPT_TABLE_EXTRA_ID" in inputs:
            extra = inputs["PROMPT_TABLE_EXTRA_ID"].reshape(rows, 1)
            outputs["OUT_PROMPT_TABLE_EXTRA_IDS"] = np.repeat(extra, outputs["INPUT_ID"].shape[1], axis=1)
        return outputs

    def _encode(self, text: Any) -> list[int]:
        return list(self._tokenizer.encode(text_of(text), add_special_tokens=self._adds_special).ids)

    def _words(self, row: np.ndarray) -> list[list[int]]:
        """The words of one request as ids, without special tokens; empty words are no words."""
        words = [text_of(word) for word in row.reshape(-1) if text_of(word)]
        return [list(self._tokenizer.encode(word, add_special_tokens=False).ids) for word in words]

    def _biases(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """[rows, vocabulary]: the weight of each word is added to all of its ids. Raises ValueError."""
        words, weights = inputs["EMBEDDING_BIAS_WORDS"], inputs.get("EMBEDDING_BIAS_WEIGHTS")
        if weights is None or weights.shape != words.shape:
            raise ValueError("embedding_bias_words and embedding_bias_weights must have the same length")
        biases = np.zeros((words.shape[0], self._tokenizer.get_vocab_size()), dtype=np.float32)
        for row in range(words.shape[0]):
            for word, weight in zip(words[row], weights[row], strict=True):
                biases[row, list(self._tokenizer.encode(text_of(word), add_special_tokens=False).ids)] += weight
        return biases


def end_and_pad(config: dict[str, Any]) -> tuple[int, int]:
    """The ids that end and pad a text; of several ends the first; without padding the end pads."""
    end = config["eos_token_id"]
    end = int(end[0] if isinstance(end, list) else end)
    pad = config.get("pad_token_id")
    return end, end if pad is None else int(pad)


def text_of(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def column(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int32).reshape(-1, 1)


def padded(rows: list[list[int]], fill: int) -> np.ndarray:
    """[rows, longest], filled up at the end: input_lengths says where each ends."""
    longest = max((len(row) for row in rows), default=0)
    return np.array([row + [fill] * (longest - len(row)) for row in rows], dtype=np.int32).reshape(len(rows), longest)


def word_lists(rows: list[list[list[int]]]) -> np.ndarray:
    """[rows, 2, longest]: the ids of all words on end, and where each word ends, filled up with -1."""
    flat = [[token for word in words for token in word] for words in rows]
    ends = [list(np.cumsum([len(word) for word in words], dtype=np.int32)) for words in rows]
    longest = max(1, *(len(row) for row in flat))
    return np.array(
        [[i + [0] * (longest - len(i)), e + [-1] * (longest - len(e))] for i, e in zip(flat, ends, strict=True)],
        dtype=np.int32,
    )
