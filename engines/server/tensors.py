"""What a Triton request may ask: names, neutral values, refusals, and how the tensors become a GenerationRequest.

The tables are TensorRT-LLM's inputs. Each is honoured, has no effect on this engine (`WITHOUT_EFFECT`), or is refused
by name unless its value is neutral (`NEUTRAL_ONLY`) or empty (`EMPTY_ONLY`): a client that always sends beam_width=1
works, one that wants two beams is told. Arrays are as the Python backend gives them: first axis the batch; a scalar
input is [batch] or [batch, 1]. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from generation import GenerationRequest, Sampling

Tensors = Mapping[str, np.ndarray]


class RefusedRequest(ValueError):
    """The request is wrong or asks for what this engine cannot do; the text is for the client."""


# Names that differ between the models: ours → theirs.
TOKEN_MODEL_NAMES = {
    "max_new_tokens": "request_output_len",
    "top_k": "runtime_top_k",
    "top_p": "runtime_top_p",
    "streaming": "streaming",
}
TEXT_MODEL_NAMES = {"max_new_tokens": "max_tokens", "top_k": "top_k", "top_p": "top_p", "streaming": "stream"}

# With one beam, no padding and no drafts these change nothing, whatever their value.
WITHOUT_EFFECT = {
    "pad_id",
    "len_penalty",
    "length_penalty",
    "early_stopping",
    "beam_search_diversity_rate",
    "runtime_top_p_min",
    "runtime_top_p_reset_ids",
    "draft_acceptance_threshold",
    "sampling_param_exclude_input_from_output",
}
NEUTRAL_ONLY = {
    "beam_width",
    "num_return_sequences",
    "runtime_top_p_decay",
    "bad_words",
    "bad_words_list",
    "embedding_bias",
    "embedding_bias_words",
    "embedding_bias_weights",
    "return_log_probs",
    "return_context_logits",
    "return_generation_logits",
    "encoder_input_features",
    "encoder_output_lengths",
    "decoder_input_ids",
    "decoder_input_lengths",
    "decoder_text_input",
    "cross_attention_mask",
    "skip_cross_attn_blocks",
    "draft_input_ids",
    "draft_logits",
    "prompt_embedding_table",
    "prompt_table_extra_ids",
    "prompt_table_extra_id",
    "prompt_vocab_size",
    "mrope_rotary_cos_sin",
    "mrope_position_deltas",
    "lora_task_id",
    "lora_weights",
    "lora_config",
    "context_phase_params",
    "retention_token_range_starts",
    "retention_token_range_ends",
    "retention_token_range_priorities",
    "retention_token_range_durations_ms",
    "retention_decode_priority",
    "retention_decode_duration_ms",
    "guided_decoding_guide_type",
    "guided_decoding_guide",
    "lookahead_window_size",
    "lookahead_ngram_size",
    "lookahead_verification_set_size",
    "num_draft_tokens",
    "use_draft_logits",
    "sampling_param_best_of",
    "return_cumulative_logprob",
    "image_url_input",
    "image_url",
    "lora_id",
    "lora_name",
    "lora_path",
    "lora_ckpt_source",
}
EMPTY_ONLY = {"image_input", "image_bytes_input", "video_bytes_input"}  # a black picture is a picture
NEUTRAL_ONE = {
    "beam_width",
    "num_return_sequences",
    "runtime_top_p_decay",
    "sampling_param_best_of",
}  # for these 1 means "off"


def refuse_unsupported(tensors: Tensors) -> None:
    """Raises RefusedRequest for the first input that asks for something this engine cannot do."""
    for name, array in tensors.items():
        if (name in NEUTRAL_ONLY and not _is_neutral(name, array)) or (name in EMPTY_ONLY and array.size):
            raise RefusedRequest(f"input '{name}' asks for something this engine cannot do: leave it out")


def _is_neutral(name: str, array: np.ndarray) -> bool:
    """Empty, zero, false, empty text, or −1 (TensorRT-LLM's "none"); 1 where that means off."""
    if array.dtype == object:
        return all(not text_of(value) for value in array.reshape(-1))
    if array.dtype == bool:
        return not array.any()
    off = (1,) if name in NEUTRAL_ONE else (0, -1)
    return bool(np.isin(array, off).all())


def text_of(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


class Row:
    """One row of the batch: scalar inputs by name, with a default for what is absent."""

    def __init__(self, tensors: Tensors, index: int, names: Mapping[str, str]) -> None:
        self._tensors, self._index, self._names = tensors, index, names

    def values(self, name: str) -> np.ndarray | None:
        """All values of this row, flat; None if the input is absent."""
        array = self._tensors.get(self._names.get(name, name))
        return None if array is None else np.asarray(array[self._index]).reshape(-1)

    def integer(self, name: str, default: int) -> int:
        values = self.values(name)
        return default if values is None or values.size == 0 else int(values[0])

    def real(self, name: str, default: float) -> float:
        values = self.values(name)
        return default if values is None or values.size == 0 else float(values[0])

    def switch(self, name: str, default: bool = False) -> bool:
        return bool(self.integer(name, int(default)))

    def texts(self, name: str) -> list[str]:
        values = self.values(name)
        return [] if values is None else [text_of(value) for value in values if text_of(value)]


def sampling(row: Row) -> Sampling:
    """Raises RefusedRequest for values outside TensorRT-LLM's range."""
    asked = Sampling(
        top_k=row.integer("top_k", 0),
        top_p=row.real("top_p", 0.0),
        temperature=row.real("temperature", 1.0),
        repetition_penalty=row.real("repetition_penalty", 1.0),
        presence_penalty=row.real("presence_penalty", 0.0),
        frequency_penalty=row.real("frequency_penalty", 0.0),
        seed=row.integer("seed", 0),
    )
    if asked.top_k < 0:
        raise RefusedRequest(f"top_k must be 0 or more, not {asked.top_k}")
    if asked.top_p > 1:
        raise RefusedRequest(f"top_p must be at most 1, not {asked.top_p:g}")
    if not asked.is_greedy and asked.temperature <= 0:
        raise RefusedRequest(f"temperature must be above 0, not {asked.temperature:g}")
    if asked.repetition_penalty <= 0:
        raise RefusedRequest(f"repetition_penalty must be above 0, not {asked.repetition_penalty:g}")
    return asked


def token_requests(tensors: Tensors, arrival_ns: int) -> list[GenerationRequest]:
    """The rows of a request to `tensorrt_llm`. Raises RefusedRequest."""
    refuse_unsupported(tensors)
    for name in ("request_output_len", "input_lengths", "input_ids"):
        if name not in tensors:
            raise RefusedRequest(f"{name} is not present in the request")
    rows = [Row(tensors, index, TOKEN_MODEL_NAMES) for index in range(len(tensors["input_ids"]))]
    return [_token_request(row, arrival_ns) for row in rows]


def _token_request(row: Row, arrival_ns: int) -> GenerationRequest:
    ids, length = row.values("input_ids"), row.integer("input_lengths", 0)
    assert ids is not None
    if not 0 <= length <= ids.size:
        raise RefusedRequest(f"input_lengths ({length}) is longer than input_ids ({ids.size})")
    return GenerationRequest(
        input_ids=ids[:length].tolist(),
        max_new_tokens=row.integer("max_new_tokens", 0),
        arrival_ns=arrival_ns,
        min_new_tokens=max(0, row.integer("min_tokens", 0)),
        end_id=row.integer("end_id", -1),
        stop_words=_word_list(row),
        sampling=sampling(row),
    )


def _word_list(row: Row) -> list[list[int]]:
    """TensorRT-LLM's [2, n] list: the ids of all words in a row, and the end of each word, padded with −1."""
    values = row.values("stop_words_list")
    if values is None or values.size == 0:
        return []
    ids, ends = values.reshape(2, -1)
    words, start = [], 0
    for end in ends[ends > 0].tolist():
        words.append(ids[start:end].tolist())
        start = end
    return words


def text_requests(
    tensors: Tensors, arrival_ns: int, encode: Callable[[str], list[int]], end_of_text: int
) -> list[GenerationRequest]:
    """The rows of a request to `ensemble` or `tensorrt_llm_bls`; `end_of_text` stands in for an absent end_id.

    Raises RefusedRequest.
    """
    refuse_unsupported(tensors)
    for name in ("text_input", "max_tokens"):
        if name not in tensors:
            raise RefusedRequest(f"{name} is not present in the request")
    rows = [Row(tensors, index, TEXT_MODEL_NAMES) for index in range(len(tensors["text_input"]))]
    return [_text_request(row, arrival_ns, encode, end_of_text) for row in rows]


def _text_request(row: Row, arrival_ns: int, encode: Callable[[str], list[int]], end_of_text: int) -> GenerationRequest:
    prompt, max_new_tokens = row.values("text_input"), row.integer("max_new_tokens", 0)
    if prompt is None or prompt.size == 0:
        raise RefusedRequest("text_input is empty")
    if max_new_tokens <= 0:
        raise RefusedRequest("max_tokens must be a single value > 0")
    return GenerationRequest(
        input_ids=encode(text_of(prompt[0])),
        max_new_tokens=max_new_tokens,
        arrival_ns=arrival_ns,
        min_new_tokens=max(0, row.integer("min_tokens", 0)),
        end_id=row.integer("end_id", end_of_text),
        stop_words=[encode(word) for word in row.texts("stop_words")],
        sampling=sampling(row),
    )
