"""Arguments of TensorRT-LLM's `LLM()` (PyTorch backend), as `model.yaml` and `trtllm-serve --config` take them.

What is `None` is left out, so that TensorRT-LLM's own default holds; everything else is written out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, NonNegativeInt, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from harness.engine.refusal import raise_all, without_refused
from harness.engine.version import ENGINE_ARGUMENTS_UNTIL, NEW_SCHEDULER_SINCE, Version
from harness.scenario.strict import Strict, mistake

Share = Annotated[float, Field(gt=0, le=1)]
_ENDLESS = 2**63
_NOT_YET = "TensorRT-LLM has it, but this kind of spec does not describe it yet"
_OF_ENGINES = "it belongs to the engine backend of the LLM API, which has no effect on the PyTorch backend"

NOT_AN_ARGUMENT = {
    "calib_config": _OF_ENGINES,
    "enable_build_cache": _OF_ENGINES,
    "fast_build": _OF_ENGINES,
    "extended_runtime_perf_knob_config": _OF_ENGINES,
    "batching_type": _OF_ENGINES,
    "normalize_log_probs": _OF_ENGINES,
    "enable_prompt_adapter": _OF_ENGINES,
    "build_config": "it is deprecated: write max_batch_size, max_num_tokens, max_seq_len here",
    "decoding_config": "it is deprecated, and speculative decoding is not described by this kind of spec yet",
    "speculative_config": "speculative decoding is not described by this kind of spec yet",
    **dict.fromkeys(
        (
            *("tokenizer_mode", "skip_tokenizer_init", "context_parallel_size", "moe_cluster_parallel_size"),
            *("gpus_per_node", "attention_dp_config", "sampler_type", "moe_config", "torch_compile_config"),
            *("enable_iter_req_stats", "iter_stats_max_iterations", "request_stats_max_iterations", "print_iter_log"),
            *("batch_wait_timeout_iters", "batch_wait_max_tokens_ratio", "sparse_attention_config", "lora_config"),
            *("orchestrator_type", "otlp_traces_endpoint", "model_kwargs", "env_overrides", "enable_lora"),
        ),
        _NOT_YET,
    ),
    "revision": "write it under `model` of the spec",
    "model": "write it as `source` under `model` of the spec",
    "tokenizer": "write it as `tokenizer` under `model` of the spec",
    "triton_config": "write its fields under `triton`",
    "enable_chunked_context": "that is the name for engines: write enable_chunked_prefill",
    "enable_kv_cache_reuse": "that is the name for engines: write enable_block_reuse under kv_cache_config",
    "kv_cache_free_gpu_mem_fraction": "that is the name for engines: free_gpu_memory_fraction under kv_cache_config",
    "batch_scheduler_policy": "that is the name for engines: capacity_scheduler_policy under scheduler_config",
    "max_input_len": "on the PyTorch backend max_seq_len and max_num_tokens bound the prompt",
}

NOT_OF_CACHE = {
    **dict.fromkeys(
        ("max_gpu_total_bytes", "sink_token_length", "event_buffer_max_size", "use_kv_cache_manager_v2"), _NOT_YET
    ),
    "onboard_blocks": "it is internal to TensorRT-LLM",
    "kv_cache_free_gpu_mem_fraction": "that is the name for engines: write free_gpu_memory_fraction",
    "enable_kv_cache_reuse": "that is the name for engines: write enable_block_reuse",
}

NOT_OF_SCHEDULER = {"dynamic_batch_config": _OF_ENGINES, "use_python_scheduler": _NOT_YET}


class KvCacheConfig(Strict):
    """The KV cache."""

    enable_block_reuse: bool | None = Field(
        None, description="equal prompt beginnings are computed once; TensorRT-LLM's default is true: say it"
    )
    enable_partial_reuse: bool | None = Field(None, description="blocks that agree in part are reused too")
    copy_on_partial_reuse: bool | None = Field(None, description="a partly reused block is copied first")
    free_gpu_memory_fraction: Share = Field(0.9, description="share of the GPU memory free after the model was loaded")
    max_tokens: PositiveInt | None = Field(None, description="tokens of the cache; the smallest limit wins")
    host_cache_size: NonNegativeInt | None = Field(None, description="bytes of host memory for moved blocks")
    dtype: Literal["auto", "fp8", "nvfp4"] = Field("auto", description="number format of the cache")
    tokens_per_block: Literal[8, 16, 32, 64, 128] = Field(32, description="tokens of one block")
    max_attention_window: Annotated[list[PositiveInt], Field(min_length=1)] | None = Field(
        None, description="tokens a layer looks back, one number per layer (repeated)"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[KvCacheConfig]) -> KvCacheConfig:
        return without_refused(cls.__name__, raw, handler, NOT_OF_CACHE, "cannot be set here")

    @model_validator(mode="after")
    def _reuse_first(self) -> KvCacheConfig:
        names = ("enable_partial_reuse", "copy_on_partial_reuse", "host_cache_size")
        if self.enable_block_reuse is False:
            wrong = [
                mistake("is ignored with enable_block_reuse: false", name) for name in names if getattr(self, name)
            ]
            raise_all("KvCacheConfig", wrong)
        return self


class SchedulerConfig(Strict):
    """Who runs in the next iteration."""

    capacity_scheduler_policy: Literal["GUARANTEED_NO_EVICT", "MAX_UTILIZATION", "STATIC_BATCH"] = Field(
        "GUARANTEED_NO_EVICT", description="upper case here; STATIC_BATCH is for comparisons with old engines"
    )
    context_chunking_policy: Literal["FIRST_COME_FIRST_SERVED", "EQUAL_PROGRESS"] | None = Field(
        None, description="how prompts in pieces share an iteration; needs enable_chunked_prefill"
    )
    waiting_queue_policy: Literal["FCFS"] | None = Field(None, description="order of waiting requests")
    enable_prefix_aware_scheduling: bool | None = Field(None, description="requests with cached beginnings go first")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[SchedulerConfig]) -> SchedulerConfig:
        return without_refused(cls.__name__, raw, handler, NOT_OF_SCHEDULER, "cannot be set here")


class CudaGraphConfig(Strict):
    """Decode steps replayed as CUDA graphs."""

    batch_sizes: Annotated[list[PositiveInt], Field(min_length=1)] | None = Field(
        None, description="batch sizes to capture"
    )
    max_batch_size: PositiveInt | None = Field(None, description="capture sizes up to this one")
    enable_padding: bool = Field(False, description="a batch between two captured sizes is filled up")

    @model_validator(mode="after")
    def _one_way(self) -> CudaGraphConfig:
        if self.batch_sizes is not None and self.max_batch_size is not None:
            raise mistake("give batch_sizes or max_batch_size, not both", "max_batch_size")
        return self


class QuantConfig(Strict):
    """Quantisation named at load, up to 1.2."""

    quant_algo: str = Field(min_length=1, description="e.g. FP8")
    kv_cache_quant_algo: str | None = Field(None, description="e.g. FP8")


class LlmArguments(Strict):
    """What `LLM()` is told."""

    backend: Literal["pytorch", "_autodeploy"] = Field("pytorch", description="who executes the model")
    dtype: Literal["auto", "float16", "bfloat16"] = Field("auto", description="`auto`: what the checkpoint says")
    load_format: Literal["auto", "dummy"] = Field("auto", description="`dummy`: random weights, for smoke tests")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")
    tensor_parallel_size: PositiveInt = Field(1, le=64, description="GPUs that share each layer")
    pipeline_parallel_size: PositiveInt = Field(1, le=64, description="groups of layers, one after the other")
    moe_tensor_parallel_size: PositiveInt | None = Field(None, description="of experts: GPUs that share each")
    moe_expert_parallel_size: PositiveInt | None = Field(None, description="of experts: groups of experts")
    enable_attention_dp: bool = Field(False, description="attention is data parallel, experts are not")
    max_batch_size: PositiveInt = Field(2048, le=65_536, description="requests that run together")
    max_num_tokens: PositiveInt = Field(8192, le=1_048_576, description="packed tokens of one iteration")
    max_seq_len: PositiveInt | None = Field(None, description="prompt plus output; default: what the model allows")
    max_beam_width: PositiveInt = Field(1, le=64, description="beams per request")
    enable_chunked_prefill: bool = Field(False, description="long prompts in pieces; others keep decoding meanwhile")
    kv_cache_config: KvCacheConfig = Field(default_factory=KvCacheConfig, description="the KV cache")
    scheduler_config: SchedulerConfig = Field(default_factory=SchedulerConfig, description="who runs next")
    cuda_graph_config: CudaGraphConfig | None = Field(None, description="CUDA graphs; absent: TensorRT-LLM's default")
    disable_overlap_scheduler: bool = Field(False, description="do not prepare the next iteration during this one")
    attn_backend: Literal["TRTLLM", "FLASHINFER", "VANILLA"] = Field("TRTLLM", description="attention kernels")
    stream_interval: PositiveInt = Field(1, le=1024, description="tokens per streamed response")
    enable_iter_perf_stats: bool = Field(False, description="statistics per iteration, at /metrics of trtllm-serve")
    return_perf_metrics: bool = Field(False, description="time stamps per request, Prometheus page of trtllm-serve")
    perf_metrics_max_requests: PositiveInt | None = Field(None, description="requests kept for /perf_metrics")
    batch_wait_timeout_ms: NonNegativeInt | None = Field(None, description="artificial wait to fill a batch")
    enable_autotuner: bool = Field(True, description="kernels are tuned at the start")
    num_postprocess_workers: NonNegativeInt = Field(0, description="processes that detokenise")
    guided_decoding_backend: Literal["xgrammar", "llguidance"] | None = Field(None, description="answers by grammar")
    quant_config: QuantConfig | None = Field(None, description="up to 1.2 only; else the checkpoint decides")

    @property
    def world_size(self) -> int:
        """GPUs of one instance."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[LlmArguments]) -> LlmArguments:
        return without_refused(cls.__name__, raw, handler, NOT_AN_ARGUMENT, "cannot be set here")

    @model_validator(mode="after")
    def _fits_together(self) -> LlmArguments:
        raise_all("LlmArguments", self._mistakes())
        return self

    def _mistakes(self) -> list[PydanticCustomError]:
        experts = (self.moe_tensor_parallel_size or 1) * (self.moe_expert_parallel_size or 1)
        graphs = self.cuda_graph_config
        sizes = [] if graphs is None else [*(graphs.batch_sizes or []), graphs.max_batch_size or 1]
        checks: tuple[tuple[bool, tuple[str, ...], str], ...] = (
            (
                self.max_batch_size > self.max_num_tokens,
                ("max_batch_size",),
                f"must not be above max_num_tokens ({self.max_num_tokens}): each running request takes at least a "
                "token of every iteration",
            ),
            (
                self.scheduler_config.context_chunking_policy is not None and not self.enable_chunked_prefill,
                ("scheduler_config", "context_chunking_policy"),
                "is ignored without enable_chunked_prefill: true",
            ),
            (
                bool(self.scheduler_config.enable_prefix_aware_scheduling)
                and self.kv_cache_config.enable_block_reuse is False,
                ("scheduler_config", "enable_prefix_aware_scheduling"),
                "is ignored with enable_block_reuse: false: no beginning is ever cached",
            ),
            (
                self.enable_attention_dp and self.tensor_parallel_size == 1,
                ("enable_attention_dp",),
                "has no effect with tensor_parallel_size 1",
            ),
            (
                self.perf_metrics_max_requests is not None and not self.return_perf_metrics,
                ("perf_metrics_max_requests",),
                "is ignored without return_perf_metrics: true",
            ),
            (
                experts not in (1, self.tensor_parallel_size),
                ("moe_expert_parallel_size",),
                f"moe_tensor_parallel_size x moe_expert_parallel_size must be {self.tensor_parallel_size}",
            ),
            (
                max(sizes, default=1) > self.max_batch_size,
                ("cuda_graph_config",),
                f"captures a batch above max_batch_size ({self.max_batch_size}), which never runs",
            ),
            (
                self.max_seq_len is not None
                and (self.kv_cache_config.max_tokens or self.max_seq_len) < self.max_seq_len,
                ("kv_cache_config", "max_tokens"),
                f"must hold one sequence of full length: at least max_seq_len ({self.max_seq_len})",
            ),
        )
        return [mistake(why, *at) for wrong, at, why in checks if wrong]


def not_in_version(arguments: LlmArguments, found: Version) -> list[PydanticCustomError]:
    """A mistake for each argument that this version of TensorRT-LLM does not have; they stand under `llm`."""
    wrong = []
    if arguments.quant_config is not None and found > ENGINE_ARGUMENTS_UNTIL:
        why = f"TensorRT-LLM {found} has it no more (gone after 1.2): quantisation comes from the checkpoint"
        wrong.append(mistake(why, "llm", "quant_config"))
    for name in ("waiting_queue_policy", "enable_prefix_aware_scheduling"):
        if getattr(arguments.scheduler_config, name) is not None and found < NEW_SCHEDULER_SINCE:
            why = f"TensorRT-LLM {found} does not have it: it is known from {NEW_SCHEDULER_SINCE} on"
            wrong.append(mistake(why, "llm", "scheduler_config", name))
    return wrong
