"""Serving settings out of Triton model configurations (as protobuf JSON). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Parameters of TensorRT-LLM's `tensorrt_llm` model that shape the measurement, by their names in config.pbtxt.
PARAMETERS = (
    "max_batch_size",
    "max_num_tokens",
    "max_seq_len",
    "max_tokens_in_paged_kv_cache",
    "kv_cache_free_gpu_mem_fraction",
    "batch_scheduler_policy",
    "enable_chunked_context",
    "enable_kv_cache_reuse",
    "max_beam_width",
    "max_attention_window_size",
    "exclude_input_in_output",
    "decoding_mode",
    "max_queue_size",
    "accumulate_tokens",
    "threads",
    "library",
    "device",
    "dtype",
    "tokens_per_block",
    "cancellation_check_period_ms",
    "stats_check_period_ms",
    "iter_stats_max_iterations",
    "request_stats_max_iterations",
    "kv_cache_host_memory_bytes",
    "sink_token_length",
    "enable_trt_overlap",
    "normalize_log_probs",
    "gpu_device_ids",
    "gpu_weights_percent",
    "enable_context_fmha_fp32_acc",
    "multi_block_mode",
    "cuda_graph_mode",
    "cuda_graph_cache_size",
    "guided_decoding_backend",
    "add_special_tokens",
    "skip_special_tokens",
)
OTHER_NAME = {"gpt_model_type": "batching_strategy"}  # of a parameter → the setting of a spec, where they differ


def settings_of(configurations: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Settings by name, where a configuration says them; `model` is the one asked. What is absent is not said."""
    settings: dict[str, Any] = {}
    for configuration in configurations.values():
        settings.update(_parameters(configuration))
    asked = configurations.get(model, {})
    if "max_batch_size" in asked:
        settings["triton_max_batch_size"] = int(asked["max_batch_size"])
    if "model_transaction_policy" in asked:
        settings["decoupled"] = bool(asked["model_transaction_policy"].get("decoupled", False))
    return settings


def _parameters(configuration: Mapping[str, Any]) -> dict[str, Any]:
    given = configuration.get("parameters", {})
    names = {**{name: name for name in PARAMETERS}, **OTHER_NAME}
    texts = {name: given[key].get("string_value", "") for key, name in names.items() if key in given}
    return {name: _value(text) for name, text in texts.items() if text and not text.startswith("${")}


def _value(text: str) -> Any:
    """A parameter's text as the number or truth value it stands for."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
