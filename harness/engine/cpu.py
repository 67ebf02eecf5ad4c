"""The engine kind `cpu`: a small Llama on this machine's processor, for CI, demos and learning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from harness.engine.contracts import CONTRACT_MODELS
from harness.engine.refusal import without_refused
from harness.engine.shape import ModelShape
from harness.scenario.strict import Strict, mistake
from harness.scenario.target import Slug

# TensorRT-LLM settings that the CPU engine's library cannot honour. They are refused with the reason: a setting that is
# accepted and ignored would make a study of it worthless.
NOT_ON_CPU = {
    "kv_cache_free_gpu_mem_fraction": "there is no GPU memory: size the cache with max_tokens_in_paged_kv_cache",
    "cross_kv_cache_fraction": "the model has no encoder",
    "kv_cache_host_memory_bytes": "the whole cache is in host memory already",
    "max_beam_width": "it decodes one sequence per request",
    "max_attention_window_size": "it attends to the whole sequence",
    "sink_token_length": "it attends to the whole sequence",
    "decoding_mode": "it has no speculative decoding and no beam search",
    "enable_trt_overlap": "it computes and schedules in turn",
    "multi_block_mode": "that is a CUDA kernel choice",
    "cuda_graph_mode": "there are no CUDA graphs",
    "gpu_device_ids": "there is no GPU",
    "tokens_per_block": "the library fixes the block size at 32 tokens",
    "max_queue_delay_microseconds": "requests are batched by the engine, step by step, never held back",
}


class CpuSettings(Strict):
    """Serving settings of the CPU engine; the names and meanings are TensorRT-LLM's."""

    max_batch_size: PositiveInt = Field(le=1024, description="requests decoded together in one step")
    max_num_tokens: PositiveInt = Field(le=65_536, description="tokens computed in one step, prompt chunks included")
    max_seq_len: PositiveInt = Field(
        le=32_768, description="prompt plus output of one request; outputs are clamped to it"
    )
    max_tokens_in_paged_kv_cache: PositiveInt = Field(
        le=16_777_216, description="tokens the paged KV cache holds, all requests together"
    )
    enable_chunked_context: bool = Field(
        True, description="long prompts are computed in pieces, so that others keep decoding meanwhile"
    )
    enable_kv_cache_reuse: bool = Field(
        False, description="blocks of equal prompt beginnings are shared; TensorRT-LLM's default has changed, so say it"
    )
    batch_scheduler_policy: Literal["guaranteed_no_evict", "max_utilization"] = Field(
        "guaranteed_no_evict",
        description="guaranteed_no_evict admits a request only when prompt and whole output fit the cache; "
        "max_utilization admits while there is room and may compute a request again",
    )
    max_queue_size: NonNegativeInt = Field(
        0, le=1_048_576, description="requests that may wait; more are rejected with an error; 0: any number may wait"
    )
    accumulate_tokens: bool = Field(
        False, description="`tensorrt_llm_bls` sends the whole text so far in each response, not the new piece"
    )
    cancellation_check_period_ms: PositiveInt = Field(
        100, le=250, description="how often the Triton models look for cancelled requests"
    )
    injected_slowdown_ratio: NonNegativeFloat = Field(
        0.0,
        le=10,
        description="an aid of `harness gate self-test`, no setting of TensorRT-LLM: every step of the engine takes "
        "longer by this share of its time; leave it at 0",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_what_it_cannot_honour(cls, raw: Any, handler: ModelWrapValidatorHandler[CpuSettings]) -> CpuSettings:
        return without_refused(cls.__name__, raw, handler, NOT_ON_CPU, "cannot be honoured by the cpu engine")

    @model_validator(mode="after")
    def _fits_together(self) -> CpuSettings:
        if self.max_num_tokens < self.max_batch_size:
            raise mistake(
                f"must be at least max_batch_size ({self.max_batch_size}): each running request takes a token per step",
                "max_num_tokens",
            )
        if self.max_tokens_in_paged_kv_cache < self.max_seq_len:
            raise mistake(
                f"must be at least max_seq_len ({self.max_seq_len}): one request of full length must fit the cache",
                "max_tokens_in_paged_kv_cache",
            )
        return self


class CpuEngine(Strict):
    """A random-weight Llama batched continuously on the CPU (OpenVINO GenAI), behind TensorRT-LLM's tensor contract."""

    kind: Literal["cpu"] = Field(description="`cpu`: OpenVINO GenAI's continuous batching on this machine's processor")
    name: Slug = Field(description="name in reports and baselines; equals the file's name")
    description: str = Field("", description="one sentence for people: what this engine is for")
    model: ModelShape
    settings: CpuSettings
    contract: Literal["classic", "llmapi"] = Field(
        "classic",
        description="whose tensors it speaks: `classic` is TensorRT-LLM's repository for engines (up to 1.2), `llmapi` "
        "its LLM-API model (the only one from 1.3 on)",
    )
    threads: PositiveInt = Field(1, le=512, description="CPU threads of the engine process")

    @property
    def models(self) -> tuple[str, ...]:
        """The Triton models that a client may ask."""
        return CONTRACT_MODELS[self.contract]

    @model_validator(mode="after")
    def _only_classic_accumulates(self) -> CpuEngine:
        if self.contract == "llmapi" and self.settings.accumulate_tokens:
            raise mistake(
                "is a setting of tensorrt_llm_bls, which contract llmapi does not have", "settings", "accumulate_tokens"
            )
        return self
