"""Specs for TensorRT-LLM: what a version does not have or would ignore is an error at its line, traps are warnings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.engine.hardware import ExpectedGpu
from harness.engine.load import load_engine
from harness.engine.traps import traps_of
from harness.engine.version import container_image, version
from harness.errors import ScenarioError, UsageError
from harness.resources import names, shipped

CLASSIC, FOUR, LLMAPI, NEWER, SERVE = (
    "llama-3.1-8b-fp8-h100",
    "llama-3.3-70b-fp8-h100x4",
    "llama-3.1-8b-bf16-h100",
    "llama-3.3-70b-fp8-h200x2",
    "llama-3.1-8b-fp8-h200-serve",
)
NATIVE = (CLASSIC, FOUR, LLMAPI, NEWER, SERVE)


def changed(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A copy of a shipped spec with texts replaced, each of which must be there."""
    text = shipped("engines", f"{name}.yaml").read_text().replace(f"name: {name}\n", "name: mine\n")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", NATIVE)
def test_the_shipped_specs_are_sound_and_listed(name: str) -> None:
    spec = load_engine(name).spec
    assert name in names("engines")
    assert spec.gpu_count >= spec.world_size


def test_the_shipped_specs_span_sizes_precisions_gpus_and_kinds() -> None:
    specs = [load_engine(name).spec for name in NATIVE]
    assert {spec.kind for spec in specs} == {"classic", "llmapi", "serve"}
    assert {re.search(r"(\d+)B", spec.model.source)[1] for spec in specs} == {"8", "70"}  # type: ignore[index]
    assert {gpu for spec in specs for gpu in ("H100", "H200") if gpu in spec.gpu.product} == {"H100", "H200"}


@pytest.mark.parametrize("name", NATIVE)
def test_each_value_of_a_shipped_spec_has_its_source_beside_it(name: str) -> None:
    text = shipped("engines", f"{name}.yaml").read_text()
    body = text[text.index("tensorrt_llm_version") :]
    bare = [line for line in body.splitlines() if re.match(r"\s*\w+: \S", line) and "#" not in line]
    obvious = r"memory_gib|count: 2|pp_size: 1|made_by|product"
    assert [line for line in bare if not re.search(obvious, line)] == []


BUILD, SERVING = "build:\n", "serving:\n"
MISTAKES = [
    (CLASSIC, ("1.2.1", "1.3.0rc21"), "tensorrt_llm_version", "builds no engines any more (the last was 1.3.0rc20)"),
    (CLASSIC, ("1.2.1", "0.9.0"), "tensorrt_llm_version", "not known here"),
    (CLASSIC, ("1.2.1", "newest"), "tensorrt_llm_version", "is no version"),
    (CLASSIC, (BUILD, "build:\n  max_input_len: 2048\n"), "build.max_input_len", "ignored with remove_input"),
    (CLASSIC, ("max_batch_size: 512", "max_batch_size: 9000"), "build.max_batch_size", "above max_num_tokens (8192)"),
    (CLASSIC, (BUILD, "build:\n  opt_num_tokens: 64\n"), "build.opt_num_tokens", "multiple_profiles"),
    (CLASSIC, (BUILD, "build:\n  paged_kv_cache: enable\n"), "build.paged_kv_cache", "write `kv_cache_type"),
    (CLASSIC, (BUILD, "build:\n  reduce_fusion: enable\n"), "build.reduce_fusion", "no all-reduce with tp_size 1"),
    (CLASSIC, (BUILD, "build:\n  tp_size: 2\n"), "build.tp_size", "write it under `parallelism`"),
    (CLASSIC, ("qformat: fp8", "qformat: int4_awq"), "build.use_fp8_context_fmha", "FP8 family only"),
    (CLASSIC, ("  qformat: fp8", "  tp_size: 1\n  qformat: fp8"), "checkpoint.tp_size", "under `parallelism`"),
    (CLASSIC, ("  qformat: fp8", "  awq_block_size: 64\n  qformat: fp8"), "checkpoint.awq_block_size", "no blocks"),
    (CLASSIC, ("  qformat: fp8 # Hopper multiplies FP8 matrices\n  kv_cache_dtype: fp8", "  qformat: int8_wo"),
     "checkpoint.calib_size", "needs no calibration"),
    (CLASSIC, ("qformat: fp8", "qformat: fp9"), "checkpoint.qformat", "did you mean `fp8`"),
    (FOUR, ("qformat: fp8", "qformat: int8_sq"), "build.user_buffer", "works on FP8 weights only"),
    (FOUR, ("count: 4", "count: 2"), "gpu.count", "4 GPUs are needed"),
    (FOUR, (SERVING, 'serving:\n  gpu_device_ids: "0,1"\n'), "serving.gpu_device_ids", "needs 4"),
    (FOUR, (SERVING, 'serving:\n  gpu_device_ids: "0,1,2,2"\n'), "serving.gpu_device_ids", "different GPUs"),
    (CLASSIC, (SERVING, 'serving:\n  gpu_device_ids: "0;1"\n'), "serving.gpu_device_ids", "orchestrator mode"),
    (FOUR, ("workers: 4", "workers: 8"), "build.workers", "above 4"),
    (CLASSIC, (BUILD, "build:\n  norm_quant_fusion: enable\n"), "build.norm_quant_fusion", "not describe it yet"),
    (CLASSIC, (BUILD, "build:\n  max_decoder_seq_len: 9\n"), "build.max_decoder_seq_len", "another name"),
    (CLASSIC, (BUILD, "build:\n  lora_plugin: auto\n"), "build.lora_plugin", "LoRA is not described"),
    (CLASSIC, (BUILD, "build:\n  output_timing_cache: x\n"), "build.output_timing_cache", "caches whole engines"),
    (CLASSIC, ("  max_beam_width: 1", "  max_beam_width: 32"), "build.max_batch_size", "with 32 beams"),
    (CLASSIC, (BUILD, "build:\n  context_fmha: disable\n"), "build.use_fp8_context_fmha", "needs context_fmha"),
    (CLASSIC, (BUILD, "build:\n  gemm_swiglu_plugin: fp16\n"), "build.gemm_swiglu_plugin", "allowed: fp8, disable"),
    (CLASSIC, ("tokens_per_block: 32", "tokens_per_block: 48"), "build.tokens_per_block", "found 48"),
    (CLASSIC, (BUILD, "build:\n  gpt_attention_plugin: disable\n"), "serving.batching_strategy",
     "a gpt_attention_plugin"),
    (CLASSIC, ("kv_cache_type: paged", "kv_cache_type: continuous"), "build.tokens_per_block", "needs kv_cache_type"),
    (CLASSIC, (BUILD, "build:\n  pp_reduce_scatter: enable\n"), "build.pp_reduce_scatter", "pp_size 1"),
    (CLASSIC, (SERVING, "serving:\n  sink_token_length: 4\n"), "serving.sink_token_length", "streamingllm: enable"),
    (CLASSIC, (SERVING, "serving:\n  kv_cache_host_memory_bytes: 9\n"), "serving.kv_cache_host_memory_bytes",
     "is ignored with enable_kv_cache_reuse"),
    (CLASSIC, (SERVING, "serving:\n  accumulate_tokens: true\n  decoupled: false # "), "serving.accumulate_tokens",
     "without streaming"),
    (CLASSIC, (SERVING, "serving:\n  recv_poll_period_ms: 9\n"), "serving.recv_poll_period_ms", "orchestrator mode"),
    (CLASSIC, (SERVING, "serving:\n  lora_cache_max_adapter_size: 9\n"), "serving.lora_cache_max_adapter_size", "LoRA"),
    (CLASSIC, (SERVING, "serving:\n  cross_kv_cache_fraction: 0.5\n"), "serving.cross_kv_cache_fraction", "encoder"),
    (CLASSIC, (SERVING, "serving:\n  decoding_mode: medusa\n"), "serving.decoding_mode", "found 'medusa'"),
    (CLASSIC, (SERVING, "serving:\n  decoding_mode: beam_search\n"), "serving.decoding_mode", "above 1"),
    (CLASSIC, (SERVING, "serving:\n  guided_decoding_backend: xgrammar\n"), "serving.guided_decoding_backend",
     "xgrammar_tokenizer_info_path"),
    (CLASSIC, (SERVING, "serving:\n  triton_backend: python\n  enable_trt_overlap: true\n"),
     "serving.enable_trt_overlap", "refuses it"),
    (CLASSIC, (SERVING, "serving:\n  triton_backend: python\n  guided_decoding_backend: xgrammar\n"
     "  xgrammar_tokenizer_info_path: /x\n"), "serving.xgrammar_tokenizer_info_path", "triton_backend python"),
    (CLASSIC, ("  batching_strategy: inflight_fused_batching", "  batching_strategy: V1"),
     "serving.enable_chunked_context", "has no chunks"),
    (CLASSIC, ("kv_cache_free_gpu_mem_fraction: 0.9", "kv_cache_free_gpu_mem_fraction: 90"),
     "serving.kv_cache_free_gpu_mem_fraction", "at least 0 and at most 1"),
    (CLASSIC, ("fmha: enable # [build] default in 1.x; needed", "fmha: disable # "), "serving.enable_chunked_context",
     "use_paged_context_fmha: enable"),
    (CLASSIC, (SERVING, "serving:\n  worker_path: /x\n"), "serving.worker_path", "TensorRT-LLM removed it"),
    (CLASSIC, (SERVING, "serving:\n  enable_block_reuse: true\n"), "serving.enable_block_reuse", "LLM API's name"),
    (CLASSIC, (SERVING, "serving:\n  cuda_graph_cache_size: 4\n"), "serving.cuda_graph_cache_size", "is ignored"),
    (CLASSIC, (SERVING, "serving:\n  gpu_weights_percent: 0.5\n"), "serving.gpu_weights_percent", "weight_streaming"),
    (CLASSIC, (SERVING, "serving:\n  max_beam_width: 4\n"), "serving.max_beam_width", "build.max_beam_width (1)"),
    (CLASSIC, (SERVING, "serving:\n  decoding_mode: auto\n"), "serving.decoding_mode", "triton_backend python only"),
    (CLASSIC, (SERVING, "serving:\n  max_tokens_in_paged_kv_cache: 4096\n"), "serving.max_tokens_in_paged_kv_cache",
     "at least 8192"),
    (CLASSIC, ("_policy: guaranteed_no_evict", "_policy: MAX_UTILIZATION"), "serving.batch_scheduler_policy",
     "did you mean `max_utilization`"),
    (NEWER, ("llm:\n", "llm:\n  quant_config: {quant_algo: FP8}\n"), "llm.quant_config", "gone after 1.2"),
    (LLMAPI, ("llm:\n", "llm:\n  build_config: {}\n"), "llm.build_config", "deprecated"),
    (LLMAPI, ("llm:\n", "llm:\n  batching_type: x\n"), "llm.batching_type", "engine backend"),
    (LLMAPI, ("llm:\n", "llm:\n  max_input_len: 5\n"), "llm.max_input_len", "bound the prompt"),
    (LLMAPI, ("max_num_tokens: 8192", "max_num_tokens: 256"), "llm.max_batch_size", "above max_num_tokens (256)"),
    (LLMAPI, ("  scheduler_config:\n", "  scheduler_config:\n    waiting_queue_policy: FCFS\n"),
     "llm.scheduler_config.waiting_queue_policy", "known from 1.3.0rc27 on"),
    (LLMAPI, ("  scheduler_config:\n", "  scheduler_config:\n    dynamic_batch_config: {}\n"),
     "llm.scheduler_config.dynamic_batch_config", "no effect"),
    (LLMAPI, ("GUARANTEED_NO_EVICT", "guaranteed_no_evict"), "llm.scheduler_config.capacity_scheduler_policy",
     "did you mean `GUARANTEED_NO_EVICT`"),
    (LLMAPI, ("llm:\n", "llm:\n  moe_config: {}\n"), "llm.moe_config", "does not describe it yet"),
    (LLMAPI, ("llm:\n", "llm:\n  revision: main\n"), "llm.revision", "write it under `model`"),
    (LLMAPI, ("llm:\n", "llm:\n  enable_attention_dp: true\n"), "llm.enable_attention_dp", "no effect"),
    (LLMAPI, ("backend: pytorch", "backend: tensorrt"), "llm.backend", "allowed: pytorch, _autodeploy"),
    (LLMAPI, ("  kv_cache_config:\n", "  kv_cache_config:\n    onboard_blocks: true\n"),
     "llm.kv_cache_config.onboard_blocks", "internal"),
    (LLMAPI, ("  kv_cache_config:\n", "  kv_cache_config:\n    host_cache_size: 9\n"),
     "llm.kv_cache_config.host_cache_size", "is ignored with enable_block_reuse: false"),
    (LLMAPI, ("  kv_cache_config:\n", "  kv_cache_config:\n    max_tokens: 9\n"),
     "llm.kv_cache_config.max_tokens", "at least max_seq_len (8192)"),
    (LLMAPI, ("    max_batch_size: 512", "    max_batch_size: 513"), "llm.cuda_graph_config", "which never runs"),
    (NEWER, ("    waiting_queue_policy: FCFS", "    enable_prefix_aware_scheduling: true"),
     "llm.scheduler_config.enable_prefix_aware_scheduling", "no beginning is ever cached"),
    (LLMAPI, ("triton:\n", "triton:\n  max_batch_size: 8\n"), "triton.max_batch_size", "it is always 0"),
    (LLMAPI, ("triton:\n", "triton:\n  max_queue_size: 8\n"), "triton.max_queue_size", "keeps no queue"),
    (LLMAPI, ("triton:\n", 'triton:\n  instance_count: 2\n  gpu_device_ids: "0;1;2"\n'), "triton.gpu_device_ids",
     "of 3 instances, there are 2"),
    (NEWER, ("triton:\n", 'triton:\n  gpu_device_ids: "1,1"\n'), "triton.gpu_device_ids", "different GPUs"),
    (LLMAPI, ("1.2.1", "0.19.0"), "tensorrt_llm_version", "1.0.0 or later"),
    (LLMAPI, ("triton:\n", "triton:\n  instance_count: 2\n"), "triton.instance_count", "need gpu_device_ids"),
    (SERVE, ("  return_perf_metrics: true", "  perf_metrics_max_requests: 9"), "llm.perf_metrics_max_requests",
     "is ignored without return_perf_metrics"),
    (SERVE, ("server:\n", "server:\n  port: 8000\n"), "server.port", "the program chooses it"),
    (SERVE, ("server:\n", "server:\n  kv_cache_dtype: fp8\n"), "server.kv_cache_dtype", "as kv_cache_config.dtype"),
    (SERVE, ("server:\n", "server:\n  tp_size: 2\n"), "server.tp_size", "as tensor_parallel_size"),
    (SERVE, ("1.2.1", "0.21.0"), "tensorrt_llm_version", "1.0.0 or later"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "field", "reason"), MISTAKES, ids=[f"{m[2]}-{n}" for n, m in
                                                                              enumerate(MISTAKES)])  # fmt: skip
def test_a_mistake_is_an_error_at_its_line_with_its_field_and_reason(
    tmp_path: Path, name: str, change: tuple[str, str], field: str, reason: str
) -> None:
    path = changed(tmp_path, name, change)
    with pytest.raises(ScenarioError) as caught:
        load_engine(str(path))
    (line,) = [line for line in caught.value.message.splitlines() if f": {field}: " in line]
    assert reason in caught.value.message
    written = path.read_text().splitlines()
    found = int(re.match(r".*?mine\.yaml:(\d+):", line)[1])  # type: ignore[index]
    key = field.rpartition(".")[2]
    assert key in written[found - 1] or not any(f"{key}:" in each for each in written)


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    taken = ("  workers: 1", "  #")
    for lines in (("max_input_len: 9", "opt_num_tokens: 8"), ("lora_dir: x", "workers: many")):
        path = changed(tmp_path, CLASSIC, (BUILD, "build:\n" + "".join(f"  {line}\n" for line in lines)), taken)
        with pytest.raises(ScenarioError) as caught:
            load_engine(str(path))
        for line in lines:
            assert line.partition(":")[0] in caught.value.message


TRAPS = [
    (CLASSIC, ("  enable_kv_cache_reuse: false", "  normalize_log_probs: true"), "serving.enable_kv_cache_reuse"),
    (CLASSIC, ("enable_kv_cache_reuse: false", "enable_kv_cache_reuse: true"), "serving.enable_kv_cache_reuse"),
    (CLASSIC, ("bls_instance_count: 512", "bls_instance_count: 8"), "serving.bls_instance_count"),
    (CLASSIC, ("preprocessing_instance_count: 5", "preprocessing_instance_count: 1"),
     "serving.preprocessing_instance_count"),
    (CLASSIC, (SERVING, "serving:\n  max_queue_size: 100\n"), "serving.max_queue_size"),
    (CLASSIC, (SERVING, "serving:\n  max_queue_delay_microseconds: 9\n"), "serving.max_queue_delay_microseconds"),
    (CLASSIC, ("decoupled: true", "decoupled: false"), "serving.decoupled"),
    (CLASSIC, ("guaranteed_no_evict", "max_utilization"), "serving.batch_scheduler_policy"),
    (CLASSIC, ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"), "checkpoint.qformat"),
    (CLASSIC, ("1.2.1", "1.3.0rc5"), "tensorrt_llm_version"),
    (LLMAPI, ("    enable_block_reuse: false", "    dtype: auto"), "llm.kv_cache_config.enable_block_reuse"),
    (LLMAPI, ("stream_interval: 1", "stream_interval: 10"), "llm.stream_interval"),
    (LLMAPI, ("llm:\n", "llm:\n  batch_wait_timeout_ms: 5\n"), "llm.batch_wait_timeout_ms"),
    (LLMAPI, ("llm:\n", "llm:\n  quant_config: {quant_algo: FP8}\n"), "llm.quant_config"),
    (SERVE, ("  enable_iter_perf_stats: true", "  enable_autotuner: true"), "llm.enable_iter_perf_stats"),
    (SERVE, ("  return_perf_metrics: true", "  enable_autotuner: true"), "llm.return_perf_metrics"),
    (SERVE, ("NVIDIA H200", "NVIDIA A100-SXM4-80GB"), "llm.kv_cache_config.dtype"),
    (SERVE, ("dtype: fp8", "dtype: nvfp4"), "llm.kv_cache_config.dtype"),
    (SERVE, ("free_gpu_memory_fraction: 0.9", "free_gpu_memory_fraction: 0.98"),
     "llm.kv_cache_config.free_gpu_memory_fraction"),
    (SERVE, ("free_gpu_memory_fraction: 0.9", "max_tokens: 90000"), "llm.kv_cache_config.max_tokens"),
    (SERVE, ("NVIDIA H200", "NVIDIA H200 MIG 1g.18gb"), "gpu.product"),
    (LLMAPI, ("GUARANTEED_NO_EVICT", "STATIC_BATCH"), "llm.scheduler_config.capacity_scheduler_policy"),
    (LLMAPI, ("GUARANTEED_NO_EVICT", "MAX_UTILIZATION"), "llm.scheduler_config.capacity_scheduler_policy"),
    (LLMAPI, ("enable_chunked_prefill: true", "max_beam_width: 1"), ("max_seq_len: 8192", "max_seq_len: 9000"),
     "llm.enable_chunked_prefill"),
    (LLMAPI, ("llm:\n", "llm:\n  load_format: dummy\n"), "llm.load_format"),
    (LLMAPI, ("llm:\n", "llm:\n  enable_iter_perf_stats: true\n"), "llm.enable_iter_perf_stats"),
    (LLMAPI, ("triton:\n", 'triton:\n  instance_count: 2\n  gpu_device_ids: "0;0"\n'), "triton.gpu_device_ids"),
    (LLMAPI, ("  decoupled: true", "  decoupled: false"), "triton.decoupled"),
    (NEWER, ("llm:\n", "llm:\n  backend: pytorch\n"), "llm.backend"),
    (NEWER, ("max_num_tokens: 8192", "max_num_tokens: 32768"), "llm.max_num_tokens"),
    (FOUR, ("max_num_tokens: 8192", "max_num_tokens: 32768"), "build.max_num_tokens"),
    (FOUR, ("  use_fp8_context_fmha: enable", "  #"), "build.use_fp8_context_fmha"),
    (FOUR, ("tokenizer: /models/", "tokenizer: meta-llama/"), "model.tokenizer"),
    (FOUR, (BUILD, "build:\n  logits_dtype: float16\n"), "serving.logits_datatype"),
    (CLASSIC, (SERVING, "serving:\n  accumulate_tokens: true\n"), "serving.accumulate_tokens"),
    (CLASSIC, (SERVING, "serving:\n  enable_trt_overlap: true\n"), "serving.enable_trt_overlap"),
    (CLASSIC, ("exclude_input_in_output: true", "exclude_input_in_output: false"), "serving.exclude_input_in_output"),
    (CLASSIC, ("  enable_chunked_context: true", "  max_beam_width: 1"), ("max_seq_len: 8192", "max_seq_len: 9000"),
     "serving.enable_chunked_context"),
    (CLASSIC, ("inflight_fused_batching", "V1"), ("  enable_chunked_context: true", "  #"),
     "serving.batching_strategy"),
    (CLASSIC, (SERVING, "serving:\n  max_tokens_in_paged_kv_cache: 90000\n"), "serving.max_tokens_in_paged_kv_cache"),
]  # fmt: skip


@pytest.mark.parametrize("row", TRAPS, ids=[f"{t[-1]}-{n}" for n, t in enumerate(TRAPS)])
def test_a_trap_is_a_warning_that_its_healthy_neighbour_does_not_get(tmp_path: Path, row: tuple[Any, ...]) -> None:
    name, *changes, field = row
    assert field not in {trap.field for trap in traps_of(load_engine(name).spec)}
    trapped = load_engine(str(changed(tmp_path, name, *changes))).spec
    assert field in {trap.field for trap in traps_of(trapped)}


@pytest.mark.parametrize("name", NATIVE)
def test_a_shipped_spec_has_no_trap_but_those_it_cannot_avoid(name: str) -> None:
    chosen = {
        LLMAPI: {"kind"},  # no LLM-API spec can avoid it
        NEWER: {"kind", "tensorrt_llm_version", "llm.scheduler_config.capacity_scheduler_policy"},
    }
    assert {trap.field for trap in traps_of(load_engine(name).spec)} == chosen.get(name, set())


def test_versions_are_ordered_as_they_were_released() -> None:
    order = ["0.17.0", "1.0", "1.2.1", "1.3.0rc5", "1.3.0rc20", "1.3.0rc21", "1.3.0"]
    assert sorted(sorted(order, key=len), key=version) == order
    assert container_image("1.2.1") == "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"
    assert container_image("1.3.0rc21") is None


def test_the_expected_gpu_knows_which_formats_it_multiplies() -> None:
    assert ExpectedGpu(product="NVIDIA H200", memory_gib=141.0).has_fp8
    assert not ExpectedGpu(product="NVIDIA A100-SXM4-80GB", memory_gib=80.0).has_fp8
    assert ExpectedGpu(product="NVIDIA B200", memory_gib=180.0).has_fp4


def test_a_spec_for_tensorrt_llm_is_not_started_by_the_embedded_triton_and_the_other_way_round() -> None:
    with pytest.raises(UsageError, match="needs TensorRT-LLM"):
        _ = load_engine(CLASSIC).embedded
    with pytest.raises(UsageError, match="served by the embedded Triton"):
        _ = load_engine("cpu-tiny").native
