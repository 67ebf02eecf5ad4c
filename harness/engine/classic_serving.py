"""How Triton serves a classic engine: the parameters of its five models, under the names of their templates.

What is `None` is left out of the rendered configuration, so that TensorRT-LLM's own default holds; everything else is
written out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, NonNegativeInt, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from harness.engine.refusal import raise_all, without_refused
from harness.scenario.strict import Strict, mistake

Share = Annotated[float, Field(ge=0, le=1)]
Devices = Annotated[str, Field(pattern=r"^\d{1,3}(,\d{1,3})*(;\d{1,3}(,\d{1,3})*)*$")]

NOT_SERVED = {
    "worker_path": "TensorRT-LLM removed it, and fails when it is there",
    "gpt_model_type": "it is filled from batching_strategy: write that",
    "gpt_model_path": "it is the folder of the built engine, which the program fills in",
    "engine_dir": "it is the folder of the built engine, which the program fills in",
    "tokenizer_dir": "write it as `tokenizer` under `model`",
    "encoder_engine_dir": "models with an encoder are not described by this kind of spec yet",
    "cross_kv_cache_fraction": "it divides the cache of models with an encoder; this kind of spec has none",
    "kv_cache_onboard_blocks": "it is internal to TensorRT-LLM",
    "participant_ids": "it belongs to the orchestrator mode, which this program does not start",
    "num_nodes": "engines over several nodes are not described by this kind of spec yet",
    "speculative_decoding_fast_logits": "speculative decoding is not described by this kind of spec yet",
    "medusa_choices": "speculative decoding is not described by this kind of spec yet",
    "eagle_choices": "speculative decoding is not described by this kind of spec yet",
    "lookahead_window_size": "speculative decoding is not described by this kind of spec yet",
    "lookahead_ngram_size": "speculative decoding is not described by this kind of spec yet",
    "lookahead_verification_set_size": "speculative decoding is not described by this kind of spec yet",
    "lora_prefetch_dir": "LoRA is not described by this kind of spec yet",
    "lora_cache_gpu_memory_fraction": "LoRA is not described by this kind of spec yet",
    "lora_cache_host_memory_bytes": "LoRA is not described by this kind of spec yet",
    "lora_cache_optimal_adapter_size": "LoRA is not described by this kind of spec yet",
    "lora_cache_max_adapter_size": "LoRA is not described by this kind of spec yet",
    "recv_poll_period_ms": "it belongs to the orchestrator mode, which this program does not start",
    "executor_worker_path": "it is fixed in NVIDIA's images",
    "encoder_model_path": "models with an encoder are not described by this kind of spec yet",
    **dict.fromkeys(
        ("multimodal_model_path", "multimodal_encoders_name", "max_num_images", "hf_model_path"),
        "images are not described by this kind of spec yet",
    ),
    "encoder_input_features_data_type": "models with an encoder are not described by this kind of spec yet",
    "prompt_embedding_table_data_type": "prompt tables are not described by this kind of spec yet",
    "tensorrt_llm_model_name": "the rendered models call it tensorrt_llm",
    "tensorrt_llm_draft_model_name": "speculative decoding is not described by this kind of spec yet",
    "max_batch_size": "the engine's is under `build`; Triton's own is triton_max_batch_size",
    "max_num_tokens": "it is fixed when the engine is built: write it under `build`",
    "decoupled_mode": "write `decoupled: true` or `false`",
    "enable_block_reuse": "that is the LLM API's name: write enable_kv_cache_reuse",
    "enable_chunked_prefill": "that is the LLM API's name: write enable_chunked_context",
}


class ClassicServing(Strict):
    """Triton's configuration of a classic engine."""

    triton_backend: Literal["tensorrtllm", "python"] = Field(
        "tensorrtllm", description="who runs the engine: the C++ backend, or TensorRT-LLM's Python runtime"
    )
    triton_max_batch_size: PositiveInt | None = Field(
        None, le=65_536, description="Triton's own limit of one request's batch; default: build.max_batch_size"
    )
    decoupled: bool = Field(True, description="several responses per request; streaming needs it")
    max_queue_delay_microseconds: NonNegativeInt = Field(
        0, description="how long Triton's batcher may hold requests back; the engine batches by itself"
    )
    max_queue_size: NonNegativeInt = Field(0, description="requests in the queue before one is refused; 0: any number")
    batching_strategy: Literal["inflight_fused_batching", "inflight_batching", "V1"] = Field(
        "inflight_fused_batching", description="V1 is static batching: a batch ends with its longest answer"
    )
    batch_scheduler_policy: Literal["guaranteed_no_evict", "max_utilization"] = Field(
        "guaranteed_no_evict",
        description="guaranteed_no_evict admits a request when prompt and whole output fit the cache; max_utilization "
        "admits more, and may pause and recompute",
    )
    max_beam_width: PositiveInt = Field(1, description="at most build.max_beam_width")
    max_tokens_in_paged_kv_cache: PositiveInt | None = Field(
        None, description="tokens of the KV cache; the smaller of this and the memory fraction wins; default: no limit"
    )
    kv_cache_free_gpu_mem_fraction: Share | None = Field(
        0.9, description="share of the GPU memory that is free after the engine was loaded"
    )
    kv_cache_host_memory_bytes: NonNegativeInt = Field(0, description="host memory to move KV blocks to")
    enable_kv_cache_reuse: bool | None = Field(
        None, description="equal prompt beginnings are computed once; the default has changed: say it"
    )
    max_attention_window_size: Annotated[list[PositiveInt], Field(min_length=1)] | PositiveInt | None = Field(
        None, description="tokens a layer looks back, one number or one per layer; default: the whole sequence"
    )
    sink_token_length: PositiveInt | None = Field(
        None, description="first tokens always kept in the window; needs build.streamingllm"
    )
    enable_chunked_context: bool = Field(False, description="long prompts in pieces; others keep decoding meanwhile")
    enable_trt_overlap: bool = Field(False, description="experimental: prepare the next step during this one")
    exclude_input_in_output: bool = Field(
        True, description="answers that are not streamed hold no prompt; TensorRT-LLM's own default is false"
    )
    cancellation_check_period_ms: PositiveInt = Field(100, description="how often cancelled requests are looked for")
    stats_check_period_ms: PositiveInt = Field(100, description="how often the engine's statistics are read")
    iter_stats_max_iterations: NonNegativeInt | None = Field(None, description="iterations whose statistics are kept")
    request_stats_max_iterations: NonNegativeInt | None = Field(
        None, description="iterations whose statistics per request are kept; they cost time"
    )
    normalize_log_probs: bool = Field(True, description="log probabilities are of the sampling distribution")
    gpu_device_ids: Devices | None = Field(None, description="GPUs of the engine, `0,1`; default: all visible ones")
    decoding_mode: Literal["top_k", "top_p", "top_k_top_p", "beam_search", "auto"] | None = Field(
        None, description="default: top_k_top_p, with beams beam_search; `auto` only with triton_backend python"
    )
    gpu_weights_percent: Share | None = Field(None, description="share of the weights on the GPU (weight_streaming)")
    enable_context_fmha_fp32_acc: bool | None = Field(None, description="prompt attention sums in FP32")
    multi_block_mode: bool | None = Field(None, description="long sequences are attended to by several blocks")
    cuda_graph_mode: bool | None = Field(None, description="decode steps are replayed as CUDA graphs")
    cuda_graph_cache_size: PositiveInt | None = Field(None, description="graphs kept; needs cuda_graph_mode")
    guided_decoding_backend: Literal["xgrammar"] | None = Field(None, description="answers that follow a grammar")
    xgrammar_tokenizer_info_path: str | None = Field(None, description="JSON file that xgrammar needs in C++")
    logits_datatype: Literal["TYPE_FP32", "TYPE_FP16"] = Field("TYPE_FP32", description="type of the logits' tensors")
    preprocessing_instance_count: PositiveInt = Field(5, le=1024, description="tokenising processes")
    postprocessing_instance_count: PositiveInt = Field(5, le=1024, description="detokenising processes")
    bls_instance_count: PositiveInt | None = Field(
        None, le=65_536, description="processes of tensorrt_llm_bls, one request each; default: build.max_batch_size"
    )
    accumulate_tokens: bool = Field(False, description="tensorrt_llm_bls sends the whole text so far each time")
    add_special_tokens: bool = Field(True, description="the tokenizer adds its special tokens to prompts")
    skip_special_tokens: bool = Field(True, description="special tokens are not shown in texts")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[ClassicServing]) -> ClassicServing:
        return without_refused(cls.__name__, raw, handler, NOT_SERVED, "cannot be set here")

    @model_validator(mode="after")
    def _fits_together(self) -> ClassicServing:
        raise_all(type(self).__name__, self._mistakes())
        return self

    def _mistakes(self) -> list[PydanticCustomError]:
        checks = (
            (
                self.cuda_graph_cache_size is not None and not self.cuda_graph_mode,
                "cuda_graph_cache_size",
                "is ignored without cuda_graph_mode: true",
            ),
            (
                self.triton_backend == "python" and self.enable_trt_overlap,
                "enable_trt_overlap",
                "the Python runtime refuses it",
            ),
            (
                self.triton_backend == "tensorrtllm" and self.decoding_mode == "auto",
                "decoding_mode",
                "`auto` is known to triton_backend python only",
            ),
            (
                self.decoding_mode == "beam_search" and self.max_beam_width == 1,
                "decoding_mode",
                "needs max_beam_width above 1",
            ),
            (
                self.decoding_mode in ("top_k", "top_p", "top_k_top_p") and self.max_beam_width > 1,
                "decoding_mode",
                f"decodes one beam, max_beam_width is {self.max_beam_width}: write beam_search, or leave it out",
            ),
            (
                self.kv_cache_host_memory_bytes > 0 and self.enable_kv_cache_reuse is False,
                "kv_cache_host_memory_bytes",
                "is ignored with enable_kv_cache_reuse: false: host memory holds blocks for reuse",
            ),
            (
                self.triton_backend == "tensorrtllm"
                and self.guided_decoding_backend is not None
                and self.xgrammar_tokenizer_info_path is None,
                "guided_decoding_backend",
                "needs xgrammar_tokenizer_info_path with the C++ backend",
            ),
            (
                self.xgrammar_tokenizer_info_path is not None and self.guided_decoding_backend is None,
                "xgrammar_tokenizer_info_path",
                "is ignored without guided_decoding_backend",
            ),
            (
                self.xgrammar_tokenizer_info_path is not None and self.triton_backend == "python",
                "xgrammar_tokenizer_info_path",
                "is ignored by triton_backend python, which reads the tokenizer itself",
            ),
            (
                self.accumulate_tokens and not self.decoupled,
                "accumulate_tokens",
                "is ignored with decoupled: false: without streaming there is one response",
            ),
            (
                self.accumulate_tokens and self.max_beam_width > 1,
                "accumulate_tokens",
                "tensorrt_llm_bls accumulates for one beam only",
            ),
            (
                self.batching_strategy == "V1" and self.enable_chunked_context,
                "enable_chunked_context",
                "static batching (V1) has no chunks",
            ),
            (
                self.batching_strategy == "V1" and self.batch_scheduler_policy == "max_utilization",
                "batch_scheduler_policy",
                "is ignored by static batching (V1): only in-flight batching has a policy",
            ),
        )
        return [mistake(why, at) for wrong, at, why in checks if wrong]
