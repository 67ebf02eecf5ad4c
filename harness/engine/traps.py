"""Known traps of a sound spec: settings that are valid and still surprise. Warnings, never errors. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.engine.classic import ClassicEngine
from harness.engine.llm_arguments import LlmArguments
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.spec import EngineSpec
from harness.engine.version import container_image, version

ENOUGH_INSTANCES = 2  # one process that tokenises or detokenises throttles before the GPU does


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
        return [Trap(field, message) for field, message in (*_of_place(spec), *_of_classic(spec))]
    if isinstance(spec, LlmApiEngine | ServeEngine):
        return [Trap(field, message) for field, message in (*_of_place(spec), *_of_llm(spec.llm), *_of_front(spec))]
    return []


_REUSE = (
    "prompts that repeat (warm-up, a fixed prompt set) become nearly free: send unique ones, or say false; watch the "
    "reused blocks"
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
        yield "serving.decoupled", "false: no streaming, so no time to first token"
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
    if spec.qformat in ("fp8", "w4a8_awq") and not spec.gpu.has_fp8:
        yield "checkpoint.qformat", f"{spec.gpu.product} does not multiply FP8 matrices"
    if spec.qformat == "nvfp4" and not spec.gpu.has_fp4:
        yield "checkpoint.qformat", f"{spec.gpu.product} does not multiply FP4 matrices"


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
    if llm.load_format == "dummy":
        yield "llm.load_format", "random weights: speed is real, text and its length are not"
    if llm.quant_config is not None:
        yield "llm.quant_config", "with the PyTorch backend a quantised checkpoint decides: check what the server says"


def _of_front(spec: LlmApiEngine | ServeEngine) -> Iterator[tuple[str, str]]:
    if isinstance(spec, LlmApiEngine):
        yield "kind", "the LLM-API model counts no tokens, and a client cannot pin the output's length"
        if not spec.triton.decoupled:
            yield "triton.decoupled", "false: no streaming, so no time to first token"
        return
    if not spec.llm.enable_iter_perf_stats:
        yield "llm.enable_iter_perf_stats", "false: the page /metrics of trtllm-serve stays empty"
    if not spec.llm.return_perf_metrics:
        yield "llm.return_perf_metrics", "false: trtllm-serve has no Prometheus page"


def _of_place(spec: ClassicEngine | LlmApiEngine | ServeEngine) -> Iterator[tuple[str, str]]:
    if container_image(spec.tensorrt_llm_version) is None:
        found = version(spec.tensorrt_llm_version)
        yield "tensorrt_llm_version", f"no Triton container of NVIDIA with {found} is known here"
