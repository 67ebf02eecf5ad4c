"""The command line of `trtllm-bench throughput`. Pure, except for `find`.

The tool loads the engine in its own process: no server, no HTTP, no detokenisation. What it reports beside what we
measure through Triton shows the serving overhead.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

NAME = "trtllm-bench"


@dataclass(frozen=True)
class EngineRun:
    """What the command needs to know of an engine and of the load. None leaves an option at the tool's default."""

    model: str  # Hugging Face name, or the name of a local model
    model_path: Path | None = None
    engine_dir: Path | None = None  # a built engine: TensorRT-LLM up to 1.3.0rc20
    options_file: Path | None = None  # YAML of LLM-API options
    options_flag: str = "--extra_llm_api_options"  # newer releases also call it --config
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    max_batch_size: int | None = None
    max_num_tokens: int | None = None
    kv_cache_free_gpu_memory_ratio: float | None = None
    concurrency: int | None = None  # None: everything at once, the tool's default
    streaming: bool = True  # without it the tool reports no time to first token
    warm_up_requests: int = 2


def command(run: EngineRun, *, dataset: Path, report: Path, binary: str = NAME) -> list[str]:
    """The arguments. Raises UsageError for a concurrency below 1."""
    if run.concurrency is not None and run.concurrency < 1:
        raise UsageError(f"concurrency is {run.concurrency}", hint="leave it out to issue everything at once")
    options: dict[str, object | None] = {
        "--dataset": dataset,
        "--report_json": report,
        "--backend": "tensorrt" if run.engine_dir else "pytorch",
        "--engine_dir": run.engine_dir,
        run.options_flag: run.options_file,
        "--tp": run.tensor_parallel,
        "--pp": run.pipeline_parallel,
        "--kv_cache_free_gpu_mem_fraction": run.kv_cache_free_gpu_memory_ratio,
        "--concurrency": run.concurrency,
        "--warmup": run.warm_up_requests,
        "--eos_id": -1,  # the output length is pinned, as in our requests
        "--max_batch_size": run.max_batch_size,
        "--max_num_tokens": run.max_num_tokens,
    }
    model = ["--model", run.model, *(["--model_path", str(run.model_path)] if run.model_path else [])]
    given = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    return [binary, *model, "throughput", *given, *(["--streaming"] if run.streaming else [])]


def find() -> Path | None:
    """The tool on the PATH; None where TensorRT-LLM is not installed."""
    found = shutil.which(NAME)
    return None if found is None else Path(found)
