"""The engine kinds `llmapi` and `serve`: TensorRT-LLM's PyTorch backend behind Triton, or behind trtllm-serve."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, PositiveInt, model_validator

from harness.engine.contracts import CONTRACT_MODELS
from harness.engine.hardware import ExpectedGpu, ServedModel
from harness.engine.llm_arguments import LlmArguments, not_in_version
from harness.engine.refusal import raise_all, without_refused
from harness.engine.version import LLMAPI_SINCE, VersionText, version
from harness.scenario.strict import Strict, mistake
from harness.scenario.target import Slug

Devices = Annotated[str, Field(pattern=r"^\d{1,3}(,\d{1,3})*(;\d{1,3}(,\d{1,3})*)*$")]

_NO_QUEUE = "Triton keeps no queue before this model: the LLM API batches by itself"
NOT_OF_TRITON = {
    "max_batch_size": "it is always 0, the model takes no batches; what runs together is max_batch_size under `llm`",
    "max_queue_delay_microseconds": _NO_QUEUE,
    "max_queue_size": _NO_QUEUE,
    "multimodal": "images are not described by this kind of spec yet",
    "decoupled_mode": "write `decoupled: true` or `false`",
}
_OF_LLM = "it is an argument of `LLM()`: write it under `llm`, as "
NOT_A_FLAG = {
    **dict.fromkeys(("host", "port"), "the program chooses it"),
    **{name: _OF_LLM + name for name in ("backend", "max_batch_size", "max_num_tokens", "max_seq_len")},
    **{name: _OF_LLM + name for name in ("max_beam_width", "enable_chunked_prefill", "enable_attention_dp")},
    **{name: _OF_LLM + name for name in ("trust_remote_code", "num_postprocess_workers")},
    **dict.fromkeys(("tp_size", "tensor_parallel_size"), f"{_OF_LLM}tensor_parallel_size"),
    "pp_size": f"{_OF_LLM}pipeline_parallel_size",
    "ep_size": f"{_OF_LLM}moe_expert_parallel_size",
    "kv_cache_dtype": f"{_OF_LLM}kv_cache_config.dtype",
    **dict.fromkeys(
        ("free_gpu_memory_fraction", "kv_cache_free_gpu_memory_fraction"),
        f"{_OF_LLM}kv_cache_config.free_gpu_memory_fraction",
    ),
    **dict.fromkeys(("config", "extra_llm_api_options"), "the program writes that file from `llm`"),
    **dict.fromkeys(("tokenizer", "revision"), "write it under `model`"),
    **dict.fromkeys(
        ("cp_size", "gpus_per_node", "reasoning_parser", "tool_parser", "otlp_traces_endpoint", "grpc"),
        "trtllm-serve has it, but this kind of spec does not describe it yet",
    ),
    "telemetry": "the program always turns it off",
}


class TritonOfLlmApi(Strict):
    """How Triton serves the LLM-API model. Its max_batch_size is 0: the model takes no batches."""

    decoupled: bool = Field(True, description="several responses per request; streaming needs it")
    cancellation_check_period_ms: PositiveInt = Field(100, description="how often cancelled requests are looked for")
    instance_count: PositiveInt = Field(1, le=64, description="copies of the model in one server")
    gpu_device_ids: Devices | None = Field(
        None, description="GPUs of each instance, `0,1;2,3`; needed with several instances"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[TritonOfLlmApi]) -> TritonOfLlmApi:
        return without_refused(cls.__name__, raw, handler, NOT_OF_TRITON, "cannot be set here")

    @model_validator(mode="after")
    def _each_instance_has_gpus(self) -> TritonOfLlmApi:
        if self.gpu_device_ids is None and self.instance_count > 1:
            raise mistake("several instances need gpu_device_ids, or all would use the same GPUs", "instance_count")
        groups = 1 if self.gpu_device_ids is None else self.gpu_device_ids.count(";") + 1
        if groups != self.instance_count:
            raise mistake(f"names the GPUs of {groups} instances, there are {self.instance_count}", "gpu_device_ids")
        return self


class LlmApiEngine(Strict):
    """TensorRT-LLM's LLM API as Triton's Python model `tensorrt_llm`: the only one from 1.3.0rc21 on."""

    kind: Literal["llmapi"] = Field(description="`llmapi`: Triton's Python model on TensorRT-LLM's LLM API")
    name: Slug = Field(description="name in reports and baselines; equals the file's name")
    description: str = Field("", description="one sentence for people: what this engine is for")
    tensorrt_llm_version: VersionText = Field(description="the TensorRT-LLM that serves it, e.g. `1.2.1`")
    model: ServedModel
    gpu: ExpectedGpu
    llm: LlmArguments = Field(description="arguments of TensorRT-LLM's `LLM()`, written to model.yaml")
    triton: TritonOfLlmApi = Field(default_factory=TritonOfLlmApi, description="how Triton serves it")

    @property
    def contract(self) -> Literal["llmapi"]:
        """Whose tensors it speaks."""
        return "llmapi"

    @property
    def models(self) -> tuple[str, ...]:
        """The Triton models that a client may ask."""
        return CONTRACT_MODELS["llmapi"]

    @property
    def world_size(self) -> int:
        """GPUs of one instance."""
        return self.llm.world_size

    @property
    def gpu_count(self) -> int:
        """GPUs of one server."""
        return self.gpu.count or self.world_size * self.triton.instance_count

    @model_validator(mode="after")
    def _fits_together(self) -> LlmApiEngine:
        found = version(self.tensorrt_llm_version)
        wrong = not_in_version(self.llm, found)
        if found < LLMAPI_SINCE:
            why = f"Triton's LLM-API model of {found} is not known here: {LLMAPI_SINCE} or later"
            wrong.append(mistake(why, "tensorrt_llm_version"))
        devices = self.triton.gpu_device_ids
        if devices is not None and any(len(set(g.split(","))) != self.world_size for g in devices.split(";")):
            why = f"each instance needs {self.world_size} (tensor x pipeline) different GPUs"
            wrong.append(mistake(why, "triton", "gpu_device_ids"))
        if self.gpu.count is not None and self.gpu.count < self.world_size * self.triton.instance_count:
            wrong.append(mistake(f"{self.world_size * self.triton.instance_count} GPUs are needed", "gpu", "count"))
        raise_all("LlmApiEngine", wrong)
        return self


class ServerOptions(Strict):
    """Flags of trtllm-serve that are no arguments of `LLM()`."""

    served_model_name: str | None = Field(None, min_length=1, description="name clients ask for; default: the model")
    log_level: Literal["error", "warning", "info", "verbose", "debug"] = Field("info", description="what is logged")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, raw: Any, handler: ModelWrapValidatorHandler[ServerOptions]) -> ServerOptions:
        return without_refused(cls.__name__, raw, handler, NOT_A_FLAG, "cannot be set here")


class ServeEngine(Strict):
    """`trtllm-serve`: OpenAI's protocol on the LLM API, without Triton."""

    kind: Literal["serve"] = Field(description="`serve`: trtllm-serve, OpenAI's protocol without Triton")
    name: Slug = Field(description="name in reports and baselines; equals the file's name")
    description: str = Field("", description="one sentence for people: what this engine is for")
    tensorrt_llm_version: VersionText = Field(description="the TensorRT-LLM that serves it, e.g. `1.2.1`")
    model: ServedModel
    gpu: ExpectedGpu
    llm: LlmArguments = Field(description="arguments of TensorRT-LLM's `LLM()`, written to the --config YAML")
    server: ServerOptions = Field(default_factory=ServerOptions, description="flags of trtllm-serve")

    @property
    def contract(self) -> Literal["openai"]:
        """Whose protocol it speaks."""
        return "openai"

    @property
    def models(self) -> tuple[str, ...]:
        """The name that a client may ask for."""
        return (self.server.served_model_name or self.model.source,)

    @property
    def world_size(self) -> int:
        """GPUs of one instance."""
        return self.llm.world_size

    @property
    def gpu_count(self) -> int:
        """GPUs of one server."""
        return self.gpu.count or self.world_size

    @model_validator(mode="after")
    def _fits_together(self) -> ServeEngine:
        found = version(self.tensorrt_llm_version)
        wrong = not_in_version(self.llm, found)
        if found < LLMAPI_SINCE:
            why = f"trtllm-serve of {found} is not known here: {LLMAPI_SINCE} or later"
            wrong.append(mistake(why, "tensorrt_llm_version"))
        if self.gpu.count is not None and self.gpu.count < self.world_size:
            wrong.append(mistake(f"{self.world_size} GPUs are needed", "gpu", "count"))
        raise_all("ServeEngine", wrong)
        return self
