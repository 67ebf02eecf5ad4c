"""The contract of TensorRT-LLM's LLM-API model: text in, text out, no batch dimension. Pure.

Every streamed response holds the whole text so far. All but the text comes as text too: the model of TensorRT-LLM makes
every tensor with the data type of `text_output`, so that a client sees "7" where the configuration declares an integer.
The prompt is never part of an output, and nothing counts tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Set

import numpy as np
from generation import CANCELLED, LENGTH, STOP_WORDS, GenerationRequest
from replies import INSTANT_NAMES, Outputs
from tensors import RefusedRequest, Row, Tensors, refuse_unsupported, sampling, text_of
from wire import Message

DEFAULT_MAX_TOKENS = 32  # of the LLM API's SamplingParams
NAMES = {
    name: f"sampling_param_{name}"
    for name in ("max_tokens", "temperature", "top_k", "top_p", "frequency_penalty", "presence_penalty", "seed", "stop")
}


def with_batch(tensors: Tensors) -> Tensors:
    """The tensors with the batch dimension, of size 1, that the rest of this server expects."""
    return {name: array[np.newaxis] for name, array in tensors.items()}


def llmapi_requests(
    tensors: Tensors, arrival_ns: int, encode: Callable[[str], list[int]], end_of_text: int
) -> list[GenerationRequest]:
    """The one row of a request; of `text_input` only the first element is used. Raises RefusedRequest."""
    refuse_unsupported(tensors)
    row = Row(tensors, 0, NAMES)
    prompt, max_tokens = row.values("text_input"), row.integer("max_tokens", DEFAULT_MAX_TOKENS)
    if prompt is None or prompt.size == 0:
        raise RefusedRequest("text_input is missing from the request")
    if max_tokens < 1:
        raise RefusedRequest(f"max_tokens must be greater than 0, got {max_tokens}")
    return [
        GenerationRequest(
            input_ids=encode(text_of(prompt[0])),
            max_new_tokens=max_tokens,
            arrival_ns=arrival_ns,
            end_id=end_of_text,
            stop_words=[encode(word) for word in row.texts("stop")],
            sampling=sampling(row),
        )
    ]


class LlmApiReply:
    """Collects the steps of the request and says what to send after each."""

    def __init__(
        self, row: Row, outputs: Set[str], request: GenerationRequest, decode: Callable[[list[int]], str]
    ) -> None:
        self._outputs, self._request, self._decode = outputs, request, decode
        self._tokens: list[int] = []
        # Read now: the tensors of a Triton request are gone when its answer is on the way.
        self._is_streaming = row.switch("streaming")
        self._wants_finish_reason = row.switch("return_finish_reason")
        self._wants_stop_reason = row.switch("return_stop_reason")
        self._wants_perf_metrics = row.switch("sampling_param_return_perf_metrics")

    def after(self, step: Message) -> Outputs | None:
        """The outputs to send after this step; None when nothing is to be sent yet."""
        self._tokens += step["tokens"]
        if not self._is_streaming and step["finish"] is None:
            return None
        stop = self._stop_word(step["finish"])
        texts = {"text_output": self._decode(self._tokens[: len(self._tokens) - len(stop)])}
        if self._wants_finish_reason:
            texts["finish_reason"] = str(_finish_reason(step["finish"]))
        if self._wants_stop_reason:
            texts["stop_reason"] = self._decode(stop) if stop else str(None)
        if self._wants_perf_metrics:
            texts |= _perf_metrics(step)
        return {name: _as_bytes(text) for name, text in texts.items() if name in self._outputs}

    def _stop_word(self, finish: str | None) -> list[int]:
        """The stop word that ended the request; it is not part of the text."""
        if finish != STOP_WORDS:
            return []
        return next(word for word in self._request.stop_words if word and self._tokens[-len(word) :] == word)


def _finish_reason(finish: str | None) -> str | None:
    return {None: None, LENGTH: "length", CANCELLED: "cancelled"}.get(finish, "stop")


def _perf_metrics(step: Message) -> dict[str, str]:
    blocks, reused = step["blocks"], step["reused_blocks"]
    metrics: dict[str, object] = {
        "kv_cache_reused_block": reused,
        "kv_cache_missed_block": blocks - reused,
        "kv_cache_alloc_new_blocks": blocks - reused,
        "kv_cache_alloc_total_blocks": blocks,
        "kv_cache_hit_rate": reused / blocks if blocks else 0.0,
        **dict(zip(INSTANT_NAMES, step["instants"], strict=True)),
        "acceptance_rate": 0.0,
        "total_accepted_draft_tokens": 0,
        "total_draft_tokens": 0,
    }
    return {name: str(value) for name, value in metrics.items()}


def _as_bytes(text: str) -> np.ndarray:
    return np.array([text.encode()], dtype=object)
