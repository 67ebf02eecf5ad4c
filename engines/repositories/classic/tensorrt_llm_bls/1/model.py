"""The Triton model `tensorrt_llm_bls`: preprocessing, tensorrt_llm and postprocessing called one after the other.

An instance serves one request at a time, as TensorRT-LLM's does. Streaming: a response per step with its text, or with
`accumulate_tokens` the whole text so far, and then an empty response with the final flag. Text only, one request row.
"""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

TO_PREPROCESSING = {
    "text_input": "QUERY",
    "decoder_text_input": "DECODER_QUERY",
    "max_tokens": "REQUEST_OUTPUT_LEN",
    "bad_words": "BAD_WORDS_DICT",
    "stop_words": "STOP_WORDS_DICT",
    "embedding_bias_words": "EMBEDDING_BIAS_WORDS",
    "embedding_bias_weights": "EMBEDDING_BIAS_WEIGHTS",
    "end_id": "END_ID",
    "pad_id": "PAD_ID",
    "prompt_table_extra_id": "PROMPT_TABLE_EXTRA_ID",
}
FROM_PREPROCESSING = {
    "INPUT_ID": "input_ids",
    "REQUEST_INPUT_LEN": "input_lengths",
    "DECODER_INPUT_ID": "decoder_input_ids",
    "REQUEST_DECODER_INPUT_LEN": "decoder_input_lengths",
    "BAD_WORDS_IDS": "bad_words_list",
    "STOP_WORDS_IDS": "stop_words_list",
    "EMBEDDING_BIAS": "embedding_bias",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
    "OUT_PROMPT_TABLE_EXTRA_IDS": "prompt_table_extra_ids",
}
OTHER_NAME = {
    "top_k": "runtime_top_k",
    "top_p": "runtime_top_p",
    "length_penalty": "len_penalty",
    "stream": "streaming",
}
NOT_DONE = ("image_input", "image_bytes_input", "image_url_input", "video_bytes_input", "num_draft_tokens")
NOT_DONE += ("use_draft_logits",)


class TritonPythonModel:
    """See Triton's Python backend for the life cycle."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: v["string_value"] for name, v in config["parameters"].items()}
        self._accumulates = parameters["accumulate_tokens"].lower() in ("true", "1")
        self._engine = parameters["tensorrt_llm_model_name"]
        self._decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled"))
        shown = {output["name"] for output in config["output"]} - {"text_output"}
        self._engine_outputs = ["output_ids", "sequence_length", *sorted(shown)]

    def execute(self, requests: list[Any]) -> list[Any] | None:
        if not self._decoupled:
            return [self._whole(request) for request in requests]
        for request in requests:
            sender = request.get_response_sender()
            try:
                for response in self._responses(request):
                    sender.send(response)
            except Exception:  # a broken request must not end the model; upstream too answers with the traceback
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(traceback.format_exc())))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def _whole(self, request: Any) -> Any:
        try:
            return next(self._responses(request))
        except Exception:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(traceback.format_exc()))

    def _responses(self, request: Any) -> Iterator[Any]:
        """The responses to one request, as the engine's come. Raises TritonModelException, ValueError."""
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        refuse(inputs)
        streams = "stream" in inputs and bool(inputs["stream"].any())
        if streams and not self._decoupled:
            raise ValueError("Streaming is only supported in decoupled mode.")
        prepared = named(self._ask("preprocessing", renamed(inputs, TO_PREPROCESSING), list(FROM_PREPROCESSING)))
        own = {OTHER_NAME.get(n, n): array for n, array in inputs.items() if n not in TO_PREPROCESSING}
        so_far = np.zeros((1, 1, 0), dtype=np.int32)
        for response in self._generate({**own, **renamed(prepared, FROM_PREPROCESSING)}):
            outputs = named(response)
            tokens, lengths = outputs.pop("output_ids"), outputs.pop("sequence_length")
            if streams and self._accumulates:
                so_far = joined(so_far, tokens, lengths)
                tokens, lengths = so_far, np.array([[so_far.shape[2]]], dtype=np.int32)
            asked = {"TOKENS_BATCH": tokens, "SEQUENCE_LENGTH": lengths}
            outputs["text_output"] = named(self._ask("postprocessing", asked, ["OUTPUT"]))["OUTPUT"]
            yield pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])

    def _generate(self, inputs: dict[str, np.ndarray]) -> Iterator[Any]:
        """The engine's responses with data. Raises TritonModelException when one is an error."""
        asked = call(self._engine, inputs, self._engine_outputs, str(uuid.uuid4()))  # the client's may not be unique
        answers = asked.exec(decoupled=True) if self._decoupled else [asked.exec()]
        for answer in answers:
            if checked(answer).output_tensors():
                yield answer

    def _ask(self, model: str, inputs: dict[str, np.ndarray], outputs: list[str]) -> Any:
        return checked(call(model, inputs, outputs, "").exec())


def call(model: str, inputs: dict[str, np.ndarray], outputs: list[str], request_id: str) -> Any:
    tensors = [pb_utils.Tensor(name, array) for name, array in inputs.items()]
    return pb_utils.InferenceRequest(
        model_name=model, inputs=tensors, requested_output_names=outputs, request_id=request_id
    )


def checked(response: Any) -> Any:
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return response


def named(response: Any) -> dict[str, np.ndarray]:
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def renamed(tensors: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, np.ndarray]:
    return {names[name]: array for name, array in tensors.items() if name in names}


def refuse(inputs: dict[str, np.ndarray]) -> None:
    """Raises ValueError for what this model cannot do."""
    if int(inputs["max_tokens"].size) != 1 or int(inputs["max_tokens"].reshape(-1)[0]) <= 0:
        raise ValueError("max_tokens must be a single value > 0")
    for name in NOT_DONE:
        if name in inputs and inputs[name].size and inputs[name].any():
            raise ValueError(f"input '{name}' asks for something this model cannot do: leave it out")


def joined(so_far: np.ndarray, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """[1, 1, n]: the tokens of a step behind those before it. Raises ValueError for several beams."""
    if lengths.size != 1:
        raise ValueError("Accumulation of tokens is only implemented for beam width = 1")
    new = tokens.reshape(1, 1, -1)[:, :, : int(lengths.reshape(-1)[0])]
    return np.concatenate([so_far, new], axis=2)
