"""Known traps of a sound spec: settings that are valid and still surprise. Warnings, never errors. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.engine.classic import ClassicEngine
from harness.engine.classic_checkpoint import FP8_FAMILY
from harness.engine.llm_arguments import LlmArguments
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.spec import EngineSpec
from harness.engine.version import BACKEND_DEPRECATED_SINCE, container_image, version

ENOUGH_INSTANCES = 2  # one process that tokenises or detokenises throttles before the GPU does
MANY_TOKENS = 16_384  # the most of NVIDIA's tuning guide, which gained nothing above 2,048
HEADROOM_RATIO = 0.9  # what TensorRT-LLM itself takes for the cache; its peaks can still run out of memory there


@dataclass(frozen=True)
class Trap:
    """A field and what is surprising about its value."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def traps_of(spec: EngineSpec) -> list[Trap]:
    """What to know before measuring this engine; empty for the embedded kinds."""
    if isinstance(spec, ClassicEngine):
        found = (*_of_place(spec), *_of_classic(spec), *_of_formats(spec))
        return [Trap(field, message) for field, message in found]
    if isinstance(spec, LlmApiEngine | ServeEngine):
        found = (*_of_place(spec), *_of_llm(spec.llm), *_of_llm_formats(spec), *_of_front(spec))
        return [Trap(field, message) for field, message in found]
    return []


_REUSE = (
    "prompts that repeat (warm-up, a fixed prompt set) become nearly free: send unique ones, or say false; watch the "
    "reused blocks"
)


_MEMORY_OF_TOKENS = (
    "the memory of activations grows with it, and is taken from the KV cache; above 2,048 NVIDIA's tuning guide gained "
    "nothing"
)


def _of_classic(spec: ClassicEngine) -> Iterator[tuple[str, str]]:
    serving, build = spec.serving, spec.build
    if serving.enable_kv_cache_reuse is None:
        yield "serving.enable_kv_cache_reuse", f"not set, and the default is true in newer versions: {_REUSE}"
    elif serving.enable_kv_cache_reuse:
        yield "serving.enable_kv_cache_reuse", _REUSE
    bls = serving.bls_instance_count
    if bls is not None and bls < build.max_batch_size:
        yield (
            "serving.bls_instance_count",
            f"an instance serves one request at a time: {bls} cap tensorrt_llm_bls below max_batch_size "
            f"({build.max_batch_size})",
        )
    for name in ("preprocessing_instance_count", "postprocessing_instance_count"):
        if getattr(serving, name) < ENOUGH_INSTANCES:
            yield f"serving.{name}", "one process throttles before the GPU does; about 5 to start with"
    if serving.max_queue_size:
        yield (
            "serving.max_queue_size",
            "TensorRT-LLM empties Triton's queue at once, so Triton's limit acts on nothing; the C++ backend hands it "
            "on to the executor, whose refusals read otherwise",
        )
    if serving.max_queue_delay_microseconds:
        yield "serving.max_queue_delay_microseconds", "delays requests without a gain: the engine batches by itself"
    if not serving.decoupled:
        yield "serving.decoupled", "false: no streaming, so no time to first token; several prompts in one request fail"
    if serving.accumulate_tokens:
        yield "serving.accumulate_tokens", "true: each response holds the whole text so far, and grows with it"
    if serving.enable_trt_overlap:
        yield "serving.enable_trt_overlap", "experimental, and NVIDIA found no gain in it"
    if serving.logits_datatype != f"TYPE_{build.logits_dtype.replace('float', 'FP')}":
        yield "serving.logits_datatype", f"the engine's are {build.logits_dtype}: requests for logits would fail"
    if build.max_num_tokens > MANY_TOKENS:
        yield "build.max_num_tokens", _MEMORY_OF_TOKENS
    if serving.batch_scheduler_policy == "max_utilization":
        yield "serving.batch_scheduler_policy", "pauses and recomputes requests when the cache is full: latency tails"
    if not serving.exclude_input_in_output:
        yield (
            "serving.exclude_input_in_output",
            "false: answers that are not streamed hold the prompt, and so do their token counts",
        )
    if not serving.enable_chunked_context and build.max_num_tokens < build.max_seq_len:
        yield (
            "serving.enable_chunked_context",
            f"false: a prompt above max_num_tokens ({build.max_num_tokens}) is refused",
        )
    if serving.max_tokens_in_paged_kv_cache and serving.kv_cache_free_gpu_mem_fraction is not None:
        yield "serving.max_tokens_in_paged_kv_cache", "the smaller of it and kv_cache_free_gpu_mem_fraction wins"
    if serving.batching_strategy == "V1":
        yield "serving.batching_strategy", "static batching: a batch ends with its longest answer"


def _of_formats(spec: ClassicEngine) -> Iterator[tuple[str, str]]:
    if spec.qformat in FP8_FAMILY and spec.build.use_fp8_context_fmha is None:
        yield "build.use_fp8_context_fmha", "not set, and the default has changed: enable from 1.0 on, disable before"
    if spec.qformat in ("fp8", "w4a8_awq") and not spec.gpu.has_fp8:
        yield "checkpoint.qformat", f"{spec.gpu.product} does not multiply FP8 matrices"
    if spec.qformat == "nvfp4" and not spec.gpu.has_fp4:
        yield "checkpoint.qformat", f"{spec.gpu.product} does not multiply FP4 matrices"
    if not spec.model.tokenizer_source.startswith("/"):
        yield (
            "model.tokenizer",
            f"{spec.model.tokenizer_source} is no folder of the server: our preprocessing reads tokenizer.json and "
            "config.json there; only NVIDIA's templates load a name from Hugging Face",
        )


def _of_llm(llm: LlmArguments) -> Iterator[tuple[str, str]]:
    reuse = llm.kv_cache_config.enable_block_reuse
    if reuse is None:
        yield "llm.kv_cache_config.enable_block_reuse", f"not set, and the default is true: {_REUSE}"
    elif reuse:
        yield "llm.kv_cache_config.enable_block_reuse", _REUSE
    if llm.stream_interval > 1:
        yield "llm.stream_interval", f"{llm.stream_interval} tokens per response: no inter-token latency can be seen"
    if llm.batch_wait_timeout_ms:
        yield "llm.batch_wait_timeout_ms", "an artificial delay: it stands in every time to first token"
    if llm.scheduler_config.capacity_scheduler_policy == "MAX_UTILIZATION":
        yield "llm.scheduler_config.capacity_scheduler_policy", "may pause and recompute requests: latency tails"
    if not llm.enable_chunked_prefill and (llm.max_seq_len is None or llm.max_num_tokens < llm.max_seq_len):
        yield "llm.enable_chunked_prefill", f"false: a prompt above max_num_tokens ({llm.max_num_tokens}) is refused"
    if llm.scheduler_config.capacity_scheduler_policy == "STATIC_BATCH":
        yield "llm.scheduler_config.capacity_scheduler_policy", "static batching: a batch ends with its longest answer"
    if llm.max_num_tokens > MANY_TOKENS:
        yield "llm.max_num_tokens", _MEMORY_OF_TOKENS
    if llm.kv_cache_config.max_tokens:
        yield "llm.kv_cache_config.max_tokens", "the smaller of it and free_gpu_memory_fraction wins"
    if llm.kv_cache_config.free_gpu_memory_fraction > HEADROOM_RATIO:
        yield (
            "llm.kv_cache_config.free_gpu_memory_fraction",
            f"above {HEADROOM_RATIO:g} (TensorRT-LLM's default) a peak of logits can run out of memory under load",
        )
    if llm.load_format == "dummy":
        yield "llm.load_format", "random weights: speed is real, text and its length are not"
    if llm.quant_config is not None:
        yield "llm.quant_config", "with the PyTorch backend a quantised checkpoint decides: check what the server says"


def _of_llm_formats(spec: LlmApiEngine | ServeEngine) -> Iterator[tuple[str, str]]:
    llm, gpu = spec.llm, spec.gpu
    weights = "" if llm.quant_config is None else llm.quant_config.quant_algo.lower()
    for field, format_ in (("llm.kv_cache_config.dtype", llm.kv_cache_config.dtype), ("llm.quant_config", weights)):
        if "fp8" in format_ and not gpu.has_fp8:
            yield field, f"{gpu.product} does not compute in FP8"
        if "fp4" in format_ and not gpu.has_fp4:
            yield field, f"{gpu.product} does not compute in FP4"
    if "backend" in llm.model_fields_set and version(spec.tensorrt_llm_version) >= BACKEND_DEPRECATED_SINCE:
        yield "llm.backend", f"deprecated in the {BACKEND_DEPRECATED_SINCE.major}.{BACKEND_DEPRECATED_SINCE.minor} line"


def _of_front(spec: LlmApiEngine | ServeEngine) -> Iterator[tuple[str, str]]:
    if isinstance(spec, LlmApiEngine):
        yield "kind", "the LLM-API model counts no tokens, and a client cannot pin the output's length"
        if not spec.triton.decoupled:
            yield "triton.decoupled", "false: no streaming, so no time to first token"
        groups = (spec.triton.gpu_device_ids or "").split(";")
        if len(set(",".join(groups).split(","))) < len(",".join(groups).split(",")):
            yield "triton.gpu_device_ids", "instances on the same GPU race for its free memory at the start"
        for name in ("enable_iter_perf_stats", "perf_metrics_max_requests"):
            if getattr(spec.llm, name):
                yield f"llm.{name}", "nothing shows it behind Triton: its pages are those of trtllm-serve"
        return
    if not spec.llm.enable_iter_perf_stats:
        yield "llm.enable_iter_perf_stats", "false: the page /metrics of trtllm-serve stays empty"
    if not spec.llm.return_perf_metrics:
        yield "llm.return_perf_metrics", "false: trtllm-serve has no Prometheus page"


def _of_place(spec: ClassicEngine | LlmApiEngine | ServeEngine) -> Iterator[tuple[str, str]]:
    if " MIG " in spec.gpu.product:
        yield "gpu.product", "a part of a card (MIG): Triton reports no GPU metrics there"
    if container_image(spec.tensorrt_llm_version) is None:
        found = version(spec.tensorrt_llm_version)
        yield "tensorrt_llm_version", f"no Triton container of NVIDIA with {found} is known here"
