"""The engine's settings, with TensorRT-LLM's names and meaning, read from the parameters of the `tensorrt_llm` model.

Strict: a setting that is missing, wrong, or that this engine cannot honour is refused by name when the model loads.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

GUARANTEED_NO_EVICT, MAX_UTILIZATION = "guaranteed_no_evict", "max_utilization"
POLICIES = (GUARANTEED_NO_EVICT, MAX_UTILIZATION)
TRUE, FALSE = {"true", "True", "TRUE", "1"}, {"false", "False", "FALSE", "0"}  # what TensorRT-LLM's backend accepts
LARGEST_SLOWDOWN = 10

OPENVINO, TORCH = "openvino", "torch"  # which library computes
CPU = "cpu"
DEVICE = re.compile(r"cpu|cuda(:\d{1,2})?")
DTYPES = ("bfloat16", "float16", "float32")
# What OpenVINO's CPU engine is, whatever one asks: half-precision weights, blocks of 32 tokens.
OPENVINO_IS = {"device": CPU, "dtype": "float16", "tokens_per_block": 32}

# Parameters of the model that are not settings of the engine.
PLUMBING = {"server_dir", "socket_path", "engine_dir", "cancellation_check_period_ms", "FORCE_CPU_ONLY_INPUT_TENSORS"}


class RefusedSetting(ValueError):
    """A setting that cannot be honoured; the text names it."""


@dataclass(frozen=True)
class Settings:
    """Limits in tokens, except max_batch_size and max_queue_size (requests) and threads."""

    max_batch_size: int
    max_num_tokens: int
    max_seq_len: int
    max_tokens_in_paged_kv_cache: int
    batch_scheduler_policy: str
    enable_kv_cache_reuse: bool
    enable_chunked_context: bool
    threads: int
    max_queue_size: int  # requests that may wait; 0: any number
    injected_slowdown_ratio: float = 0.0  # no setting of TensorRT-LLM: an aid to test that a slower engine is noticed
    library: str = OPENVINO
    device: str = CPU
    dtype: str = "float16"
    tokens_per_block: int = 32

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Settings:
        """Raises RefusedSetting."""
        unknown = set(parameters) - PLUMBING - set(cls.__dataclass_fields__)
        if unknown:
            raise RefusedSetting(f"this engine cannot honour {', '.join(sorted(unknown))}: remove the setting")
        settings = cls(
            max_batch_size=_positive(parameters, "max_batch_size"),
            max_num_tokens=_positive(parameters, "max_num_tokens"),
            max_seq_len=_positive(parameters, "max_seq_len"),
            max_tokens_in_paged_kv_cache=_positive(parameters, "max_tokens_in_paged_kv_cache"),
            batch_scheduler_policy=_one_of(parameters, "batch_scheduler_policy", POLICIES),
            enable_kv_cache_reuse=switch(parameters, "enable_kv_cache_reuse"),
            enable_chunked_context=switch(parameters, "enable_chunked_context"),
            threads=_positive(parameters, "threads"),
            max_queue_size=_number(parameters, "max_queue_size", least=0),
            injected_slowdown_ratio=_slowdown(parameters),
            library=_one_of(parameters, "library", (OPENVINO, TORCH)),
            device=_given(parameters, "device"),
            dtype=_one_of(parameters, "dtype", DTYPES),
            tokens_per_block=_positive(parameters, "tokens_per_block"),
        )
        settings._check()
        return settings

    def _check(self) -> None:
        if not DEVICE.fullmatch(self.device):
            raise RefusedSetting(f"device must be cpu, cuda or cuda:N, not '{self.device}'")
        for name, only in OPENVINO_IS.items():
            if self.library == OPENVINO and getattr(self, name) != only:
                raise RefusedSetting(f"{name} of the openvino engine is {only}, not {getattr(self, name)}")
        if self.max_seq_len < 2:
            raise RefusedSetting("max_seq_len must leave room for a prompt and one token: at least 2")
        if self.max_num_tokens < self.max_batch_size:
            raise RefusedSetting(
                f"max_num_tokens ({self.max_num_tokens}) must be at least max_batch_size ({self.max_batch_size}): "
                "every running request needs one token per iteration"
            )
        whole_again = self.batch_scheduler_policy == MAX_UTILIZATION and not self.enable_chunked_context
        if whole_again and self.max_num_tokens < self.max_seq_len:
            raise RefusedSetting(
                f"batch_scheduler_policy max_utilization without enable_chunked_context needs max_num_tokens "
                f"({self.max_num_tokens}) >= max_seq_len ({self.max_seq_len}): a paused request is computed again "
                "in one iteration"
            )

    def check_blocks(self, block_tokens: int) -> None:
        """TensorRT-LLM's rule and text: the longest possible request must fit into the cache alone."""
        needed = blocks(self.max_seq_len, block_tokens)
        if self.max_tokens_in_paged_kv_cache // block_tokens < needed:
            raise RefusedSetting(
                f"maxTokensInPagedKvCache ({self.max_tokens_in_paged_kv_cache}) must be large enough to process at "
                f"least 1 sequence to completion (i.e. must be larger than beam_width (1) * tokensPerBlock "
                f"({block_tokens}) * maxBlocksPerSeq ({needed}))"
            )

    @property
    def max_input_tokens(self) -> int:
        """The longest prompt: one token of max_seq_len is for the output, and unchunked prompts go in one iteration."""
        longest = self.max_seq_len - 1
        return longest if self.enable_chunked_context else min(longest, self.max_num_tokens)


def blocks(tokens: int, block_tokens: int) -> int:
    """KV blocks that hold so many tokens."""
    return -(-tokens // block_tokens)


def _given(parameters: Mapping[str, str], name: str) -> str:
    text = parameters.get(name, "").strip()
    if not text or text.startswith("${"):
        raise RefusedSetting(f"{name} is not set")
    return text


def _positive(parameters: Mapping[str, str], name: str) -> int:
    return _number(parameters, name, least=1)


def _number(parameters: Mapping[str, str], name: str, *, least: int) -> int:
    text = _given(parameters, name)
    try:
        number = int(text)
    except ValueError:
        raise RefusedSetting(f"{name} must be a whole number, not '{text}'") from None
    if number < least:
        raise RefusedSetting(f"{name} must be at least {least}, not {number}")
    return number


def _slowdown(parameters: Mapping[str, str]) -> float:
    """Not given: none."""
    name = "injected_slowdown_ratio"
    text = parameters.get(name, "0")
    try:
        ratio = float(text)
    except ValueError:
        raise RefusedSetting(f"{name} must be a number, not '{text}'") from None
    if not 0 <= ratio <= LARGEST_SLOWDOWN:
        raise RefusedSetting(f"{name} must be between 0 and {LARGEST_SLOWDOWN}, not {text}")
    return ratio


def switch(parameters: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false. Raises RefusedSetting."""
    text = _given(parameters, name)
    if text not in TRUE | FALSE:
        raise RefusedSetting(f"{name} must be true or false, not '{text}'")
    return text in TRUE


def _one_of(parameters: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = _given(parameters, name)
    if text not in choices:
        raise RefusedSetting(f"{name} must be {' or '.join(choices)}, not '{text}'")
    return text
