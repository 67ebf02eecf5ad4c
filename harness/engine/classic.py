"""The engine kind `classic`: a TensorRT engine built with `trtllm-build`, behind Triton's five classic models.

TensorRT-LLM has engines up to 1.3.0rc20; NVIDIA's Triton containers with them go up to 1.2.1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from harness.engine.classic_build import Build
from harness.engine.classic_checkpoint import FP8_FAMILY, Checkpoint, Conversion, Parallelism, Quantization
from harness.engine.classic_serving import ClassicServing
from harness.engine.contracts import CONTRACT_MODELS
from harness.engine.hardware import ExpectedGpu, ServedModel
from harness.engine.refusal import raise_all
from harness.engine.version import CLASSIC_SINCE, CLASSIC_UNTIL, VersionText, version
from harness.scenario.strict import Strict, mistake
from harness.scenario.target import Slug

Mistakes = list[PydanticCustomError]


class ClassicEngine(Strict):
    """A TensorRT engine: how its checkpoint is made, how it is built, how Triton serves it."""

    kind: Literal["classic"] = Field(description="`classic`: an engine built with trtllm-build, served by Triton")
    name: Slug = Field(description="name in reports and baselines; equals the file's name")
    description: str = Field("", description="one sentence for people: what this engine is for")
    tensorrt_llm_version: VersionText = Field(description="the TensorRT-LLM that builds and serves it, e.g. `1.2.1`")
    model: ServedModel
    gpu: ExpectedGpu
    parallelism: Parallelism = Field(default_factory=Parallelism, description="how the model is cut over GPUs")
    checkpoint: Checkpoint
    build: Build
    serving: ClassicServing

    @property
    def contract(self) -> Literal["classic"]:
        """Whose tensors it speaks."""
        return "classic"

    @property
    def models(self) -> tuple[str, ...]:
        """The Triton models that a client may ask."""
        return CONTRACT_MODELS["classic"]

    @property
    def world_size(self) -> int:
        """GPUs of one instance."""
        return self.parallelism.world_size

    @property
    def gpu_count(self) -> int:
        """GPUs of one server."""
        return self.gpu.count or self.world_size

    @property
    def qformat(self) -> str | None:
        """The number format of the weights; None when they are not quantised."""
        return self.checkpoint.qformat if isinstance(self.checkpoint, Quantization) else None

    @model_validator(mode="after")
    def _fits_together(self) -> ClassicEngine:
        raise_all("ClassicEngine", [*self._of_version(), *self._of_precision(), *self._of_run_time(), *self._of_gpus()])
        return self

    def _of_version(self) -> Mistakes:
        found = version(self.tensorrt_llm_version)
        if found > CLASSIC_UNTIL:
            why = f"{found} builds no engines any more (the last was {CLASSIC_UNTIL}): use kind llmapi or serve"
            return [mistake(why, "tensorrt_llm_version")]
        if found < CLASSIC_SINCE:
            why = f"the flags and tensors of {found} are not known here: {CLASSIC_SINCE} or later"
            return [mistake(why, "tensorrt_llm_version")]
        return []

    def _of_precision(self) -> Mistakes:
        wrong = []
        if isinstance(self.checkpoint, Quantization) and (
            self.parallelism.moe_tp_size is not None or self.parallelism.moe_ep_size is not None
        ):
            at = "moe_tp_size" if self.parallelism.moe_tp_size is not None else "moe_ep_size"
            wrong.append(mistake("quantize.py cuts no experts: only `made_by: convert` does", "parallelism", at))
        if self.qformat in FP8_FAMILY:
            return wrong
        is_given = self.build.model_fields_set
        precision = self.qformat or self.checkpoint.dtype
        for name in ("gemm_swiglu_plugin", "low_latency_gemm_plugin", "low_latency_gemm_swiglu_plugin"):
            if getattr(self.build, name) == "fp8":
                wrong.append(mistake(f"works on FP8 weights only, these are {precision}", "build", name))
        if "use_fp8_context_fmha" in is_given and self.build.use_fp8_context_fmha == "enable":
            why = f"has an effect with the FP8 family only ({', '.join(FP8_FAMILY)}), these weights are {precision}"
            wrong.append(mistake(why, "build", "use_fp8_context_fmha"))
        if self.build.user_buffer == "enable":
            wrong.append(mistake(f"works on FP8 weights only, these are {precision}", "build", "user_buffer"))
        if self.build.gemm_plugin in ("fp8", "nvfp4"):
            wrong.append(mistake(f"does not fit weights of {precision}", "build", "gemm_plugin"))
        return wrong

    def _of_run_time(self) -> Mistakes:
        build, serving = self.build, self.serving
        longest = build.max_seq_len * serving.max_beam_width
        tokens = serving.max_tokens_in_paged_kv_cache
        static, paged = serving.batching_strategy == "V1", build.kv_cache_type == "paged"
        unpaged = f"needs kv_cache_type paged, not {build.kv_cache_type}"
        attends = build.gpt_attention_plugin != "disable"
        checks = (
            (
                bool(serving.enable_kv_cache_reuse) and not build.pages_context,
                "enable_kv_cache_reuse",
                "needs an engine built with use_paged_context_fmha: enable (and kv_cache_type: paged)",
            ),
            (
                serving.enable_chunked_context and not build.pages_context,
                "enable_chunked_context",
                "needs an engine built with use_paged_context_fmha: enable (and kv_cache_type: paged)",
            ),
            (
                serving.max_beam_width > build.max_beam_width,
                "max_beam_width",
                f"must not be above build.max_beam_width ({build.max_beam_width})",
            ),
            (
                tokens is not None and tokens < longest,
                "max_tokens_in_paged_kv_cache",
                f"must hold one sequence of full length: at least {longest} tokens (build.max_seq_len x beams)",
            ),
            *(
                (name in serving.model_fields_set and bool(getattr(serving, name)) and not paged, name, unpaged)
                for name in ("max_tokens_in_paged_kv_cache", "kv_cache_free_gpu_mem_fraction")
            ),
            (
                serving.sink_token_length is not None and build.streamingllm != "enable",
                "sink_token_length",
                "is ignored unless the engine is built with streamingllm: enable",
            ),
            (
                serving.enable_context_fmha_fp32_acc is not None and build.context_fmha == "disable",
                "enable_context_fmha_fp32_acc",
                "is ignored by an engine built with context_fmha: disable",
            ),
            (
                serving.gpu_weights_percent is not None and not build.weight_streaming,
                "gpu_weights_percent",
                "is ignored unless the engine is built with weight_streaming: true",
            ),
            (
                not static and not (paged and build.remove_input_padding == "enable" and attends),
                "batching_strategy",
                "in-flight batching needs kv_cache_type: paged, remove_input_padding: enable, a gpt_attention_plugin",
            ),
        )
        return [mistake(why, "serving", at) for wrong, at, why in checks if wrong]

    def _of_gpus(self) -> Mistakes:
        wrong = []
        devices = self.serving.gpu_device_ids
        if devices is not None and ";" in devices:
            why = "several engines in one server need the orchestrator mode, which this program does not start: run a "
            why += "server for each, behind a balancer"
            wrong.append(mistake(why, "serving", "gpu_device_ids"))
        elif devices is not None and len(set(devices.split(","))) != self.world_size:
            why = f"the engine needs {self.world_size} (tp_size x pp_size) different GPUs"
            wrong.append(mistake(why, "serving", "gpu_device_ids"))
        if self.gpu.count is not None and self.gpu.count < self.world_size:
            wrong.append(mistake(f"{self.world_size} GPUs are needed", "gpu", "count"))
        if self.build.workers > self.world_size:
            why = f"must not be above {self.world_size} (tp_size x pp_size): a worker builds at least one rank"
            wrong.append(mistake(why, "build", "workers"))
        for name in ("reduce_fusion", "user_buffer"):
            if getattr(self.build, name) == "enable" and self.parallelism.tp_size == 1:
                wrong.append(mistake("there is no all-reduce with tp_size 1: it would be ignored", "build", name))
        if self.build.pp_reduce_scatter == "enable" and self.parallelism.pp_size == 1:
            wrong.append(mistake("has no effect with pp_size 1", "build", "pp_reduce_scatter"))
        return wrong


__all__ = ["Build", "ClassicEngine", "ClassicServing", "Conversion", "Parallelism", "Quantization"]
