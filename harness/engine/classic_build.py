"""The flags of `trtllm-build` that size an engine. Every one is written out, so that no default can change under us.

Sizes are tokens unless the name says otherwise. Defaults are those of TensorRT-LLM 1.x.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from harness.engine.refusal import raise_all, without_refused
from harness.scenario.strict import Strict, mistake

Switch = Literal["enable", "disable"]

_NOT_YET = "trtllm-build has it, but this kind of spec does not describe it yet"

NOT_BUILT = {
    "paged_kv_cache": "it is deprecated: write `kv_cache_type: paged`",
    "max_decoder_seq_len": "it is another name of max_seq_len: write that",
    "gather_generation_logits": "the flag is deprecated, and a load test asks for no logits",
    "gather_context_logits": "a load test asks for no logits, and gathering them slows the engine down",
    "max_output_len": "it is gone: max_seq_len bounds prompt plus output",
    "speculative_decoding_mode": "speculative decoding is not described by this kind of spec yet",
    "max_draft_len": "speculative decoding is not described by this kind of spec yet",
    "lora_plugin": "LoRA is not described by this kind of spec yet",
    "lora_dir": "LoRA is not described by this kind of spec yet",
    "max_lora_rank": "LoRA is not described by this kind of spec yet",
    "max_prompt_embedding_table_size": "prompt tables and images are not described by this kind of spec yet",
    "max_multimodal_len": "prompt tables and images are not described by this kind of spec yet",
    "max_encoder_input_len": "models with an encoder are not described by this kind of spec yet",
    "build_config": "write its fields out here, so that they are checked",
    "model_config": "the program converts the checkpoint, whose own configuration holds",
    "checkpoint_dir": "the program chooses it",
    "output_dir": "the program chooses it",
    "input_timing_cache": "the program caches whole engines",
    "output_timing_cache": "the program caches whole engines",
    "norm_quant_fusion": _NOT_YET,
    "manage_weights": _NOT_YET,
    "strip_plan": _NOT_YET,
    "weight_sparsity": _NOT_YET,
    "fast_build": _NOT_YET,
    "profiling_verbosity": "it changes what the builder tells, not the engine",
    "visualize_network": "it changes what the builder tells, not the engine",
    "monitor_memory": "it changes what the builder tells, not the engine",
    "log_level": "it changes what the builder tells, not the engine",
    "dry_run": "it is an option of the command: harness engine build SPEC --dry-run",
    "tp_size": "it is fixed when the checkpoint is made: write it under `parallelism`",
    "pp_size": "it is fixed when the checkpoint is made: write it under `parallelism`",
}


class Build(Strict):
    """What `trtllm-build` is told."""

    max_batch_size: PositiveInt = Field(
        le=65_536, description="requests the engine schedules together; buffers grow with it"
    )
    max_num_tokens: PositiveInt = Field(
        le=1_048_576, description="packed tokens of one iteration; activation memory grows with it almost linearly"
    )
    max_seq_len: PositiveInt = Field(le=4_194_304, description="prompt plus output of one request")
    max_input_len: PositiveInt | None = Field(
        None, description="longest prompt; only without padding removal or context FMHA, else it would be ignored"
    )
    opt_num_tokens: PositiveInt | None = Field(
        None, description="tokens for which kernels are chosen; default: max_batch_size x max_beam_width"
    )
    max_beam_width: PositiveInt = Field(1, le=64, description="beams per request; each counts like a request")
    kv_cache_type: Literal["paged", "continuous", "disabled"] = Field("paged", description="how the KV cache is kept")
    tokens_per_block: Literal[8, 16, 32, 64, 128] = Field(32, description="tokens of one block of the paged KV cache")
    use_paged_context_fmha: Switch = Field(
        "enable", description="needed for KV cache reuse and for chunked context at run time"
    )
    use_fp8_context_fmha: Switch | None = Field(
        None, description="prompt attention in FP8; only with a qformat of the FP8 family"
    )
    context_fmha: Switch = Field("enable", description="fused attention over prompts")
    remove_input_padding: Switch = Field("enable", description="packed prompts; in-flight batching needs it")
    multiple_profiles: Switch = Field("disable", description="kernels for several sizes: longer build, often faster")
    gemm_plugin: Literal["auto", "float16", "float32", "bfloat16", "int32", "fp8", "nvfp4", "disable"] = Field(
        "disable", description="cuBLAS in place of TensorRT's own matrix kernels; `auto` follows the weights"
    )
    gpt_attention_plugin: Literal["auto", "float16", "float32", "bfloat16", "disable"] = Field(
        "auto", description="TensorRT-LLM's attention; in-flight batching needs it"
    )
    gemm_swiglu_plugin: Literal["fp8", "disable"] = Field("disable", description="fused feed-forward, FP8 only")
    low_latency_gemm_plugin: Literal["fp8", "disable"] = Field("disable", description="small-batch kernels, FP8 only")
    low_latency_gemm_swiglu_plugin: Literal["fp8", "disable"] = Field(
        "disable", description="fused feed-forward for small batches, FP8 only"
    )
    use_fused_mlp: Switch = Field("enable", description="gate and up projection as one multiplication")
    reduce_fusion: Switch = Field("disable", description="all-reduce fused with the norm after it; needs tp_size > 1")
    user_buffer: Switch = Field("disable", description="all-reduce without a copy; needs reduce_fusion and FP8")
    pp_reduce_scatter: Switch = Field("disable", description="lighter hand-over between pipeline stages")
    logits_dtype: Literal["float16", "float32"] = Field("float32", description="type of the logits")
    streamingllm: Switch | None = Field(
        None, description="a window plus the first tokens: needed for sink_token_length; default: disable"
    )
    weight_streaming: bool = Field(False, description="weights may stay in host memory: see gpu_weights_percent")
    workers: PositiveInt = Field(1, le=64, description="ranks built at the same time, at most the visible GPUs")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[Build]) -> Build:
        return without_refused(cls.__name__, raw, handler, NOT_BUILT, "cannot be set here")

    @model_validator(mode="after")
    def _fits_together(self) -> Build:
        raise_all(type(self).__name__, [*self._sizes(), *self._switches()])
        return self

    def _sizes(self) -> list[PydanticCustomError]:
        wrong = []
        if self.max_batch_size * self.max_beam_width > self.max_num_tokens:
            beams = "" if self.max_beam_width == 1 else f" with {self.max_beam_width} beams"
            why = f"{beams} must not be above max_num_tokens ({self.max_num_tokens}): each running request takes at "
            why += "least a token of every iteration"
            wrong.append(mistake(why.strip(), "max_batch_size"))
        if self.max_input_len is not None and self.remove_input_padding == self.context_fmha == "enable":
            wrong.append(
                mistake(
                    "is ignored with remove_input_padding and context_fmha: max_seq_len and max_num_tokens bound the "
                    "prompt; leave it out",
                    "max_input_len",
                )
            )
        elif self.max_input_len is not None and self.max_input_len > self.max_seq_len:
            wrong.append(mistake(f"must not be above max_seq_len ({self.max_seq_len})", "max_input_len"))
        if self.opt_num_tokens is not None and self.multiple_profiles == "enable":
            wrong.append(mistake("trtllm-build fails with it when multiple_profiles is enabled", "opt_num_tokens"))
        if self.opt_num_tokens is not None and self.opt_num_tokens > self.max_num_tokens:
            wrong.append(mistake(f"must not be above max_num_tokens ({self.max_num_tokens})", "opt_num_tokens"))
        return wrong

    def _switches(self) -> list[PydanticCustomError]:
        wrong = []
        if self.kv_cache_type != "paged":
            why = f"needs kv_cache_type paged, not {self.kv_cache_type}"
            given = [name for name in ("tokens_per_block", "use_paged_context_fmha") if name in self.model_fields_set]
            wrong += [mistake(why, name) for name in given if getattr(self, name) != "disable"]
        if self.user_buffer == "enable" and self.reduce_fusion != "enable":
            wrong.append(mistake("needs reduce_fusion: enable", "user_buffer"))
        for name in ("use_paged_context_fmha", "use_fp8_context_fmha"):
            if getattr(self, name) == "enable" and self.context_fmha == "disable":
                wrong.append(mistake("needs context_fmha: enable", name))
        return wrong

    @property
    def pages_context(self) -> bool:
        """Whether the engine can reuse KV blocks and compute prompts in chunks."""
        return self.kv_cache_type == "paged" and self.use_paged_context_fmha == "enable"
