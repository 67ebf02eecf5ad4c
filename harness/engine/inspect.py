"""What an engine really is, and where it differs from a spec. Pure: what was read comes in, findings go out.

The names are those of specs (`max_batch_size`, `tp_size`, …), so that both sides can be compared. Where an engine or a
server does not tell something, it is "not told", which is no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.engine.classic import ClassicEngine
from harness.engine.llmapi import ServeEngine
from harness.engine.spec import EngineSpec, NativeSpec

# config.json of an engine: name → where it stands (TensorRT-LLM's builder; engines up to 1.2).
BUILD_CONFIG: tuple[str, ...] = (
    *("max_batch_size", "max_input_len", "max_seq_len", "max_num_tokens", "opt_num_tokens", "max_beam_width"),
    *("max_draft_len", "max_encoder_input_len", "max_prompt_embedding_table_size", "kv_cache_type"),
    *("speculative_decoding_mode", "weight_streaming"),
)
PLUGIN_CONFIG: tuple[str, ...] = (
    *("tokens_per_block", "use_paged_context_fmha", "use_fp8_context_fmha", "context_fmha", "remove_input_padding"),
    *("multiple_profiles", "reduce_fusion", "user_buffer", "use_fused_mlp", "pp_reduce_scatter"),
    *("gemm_plugin", "gpt_attention_plugin", "gemm_swiglu_plugin"),
    *("low_latency_gemm_plugin", "low_latency_gemm_swiglu_plugin"),
)
MODEL_CONFIG: tuple[str, ...] = (
    *("architecture", "dtype", "logits_dtype", "vocab_size", "hidden_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_size"),
)
MAPPING = ("world_size", "tp_size", "pp_size", "moe_tp_size", "moe_ep_size")
# Engines of 0.8 and before, as public ones on Hugging Face have it.
OLD_BUILDER = {"max_batch_size": "max_batch_size", "max_input_len": "max_input_len", "max_beam_width": "max_beam_width"}
OLD_BUILDER |= {"precision": "dtype", "tensor_parallel": "tp_size", "pipeline_parallel": "pp_size"}
OLD_BUILDER |= {"max_output_len": "max_output_len", "max_num_tokens": "max_num_tokens", "quant_mode": "quant_algo"}

# quantize.py's --qformat → quant_algo in config.json (names of TensorRT-LLM's QuantAlgo; from memory, not looked up).
QUANT_ALGOS: dict[str, tuple[str | None, ...]] = {
    "fp8": ("FP8",),
    "nvfp4": ("NVFP4",),
    "int8_sq": ("W8A8_SQ_PER_CHANNEL", "W8A8_SQ_PER_TENSOR_PLUGIN", "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN"),
    "int4_awq": ("W4A16_AWQ",),
    "w4a8_awq": ("W4A8_AWQ",),
    "int8_wo": ("W8A16",),
    "int4_wo": ("W4A16",),
    "full_prec": (None, "NO_QUANT"),
}
AUTOMATIC = ("auto", None)  # a spec that says so leaves the choice to the tool: nothing to compare


@dataclass(frozen=True)
class Found:
    """What an engine or a server said it is."""

    where: str
    values: Mapping[str, Any]
    not_told: Mapping[str, str] = field(default_factory=dict)  # part → why


@dataclass(frozen=True)
class Difference:
    """A setting that is not what the spec says."""

    name: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.name} is {shown(self.found)}, the spec says {shown(self.expected)}"


def engine_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values in an engine's `config.json`, new or old. Raises ValueError when it is no engine's."""
    if "builder_config" in config:
        return _old_values(config)
    if "build_config" not in config or "pretrained_config" not in config:
        raise ValueError("it has no build_config and pretrained_config: this is no TensorRT-LLM engine")
    build, model = config["build_config"], config["pretrained_config"]
    values: dict[str, Any] = {"contract": "classic"}  # whatever serves it: only those models have engines
    values |= {"version": config["version"]} if config.get("version") else {}
    for names, source in (
        (BUILD_CONFIG, build),
        (PLUGIN_CONFIG, build.get("plugin_config", {})),
        (MODEL_CONFIG, model),
        (MAPPING, model.get("mapping", {})),
    ):
        values |= {name: source[name] for name in names if name in source}
    quantization = model.get("quantization") or {}
    values |= {name: quantization.get(name) for name in ("quant_algo", "kv_cache_quant_algo")}
    return values


def expected_values(spec: EngineSpec) -> dict[str, Any]:
    """What the spec says, under the names of `engine_values` and of a server's settings."""
    said = spec.model_dump(mode="json")
    values: dict[str, Any] = {}
    for part in ("settings", "serving", "llm", "triton", "server", "build", "parallelism"):
        values |= said.get(part) or {}
    values |= {name: said[name] for name in ("threads", "device") if name in said}
    values |= _precision(said.get("checkpoint") or {})
    if "tensorrt_llm_version" in said:
        values["version"] = said["tensorrt_llm_version"]
    return values


def expected_of_engine(spec: EngineSpec) -> dict[str, Any]:
    """What an engine folder has to be: all but the settings that serve it, which no engine knows."""
    values = _identity(spec)
    if isinstance(spec, ClassicEngine):
        serving = type(spec.serving).model_fields.keys() - type(spec.build).model_fields.keys()
        values |= {name: value for name, value in expected_values(spec).items() if name not in serving}
        values["ranks"] = spec.world_size
    return values


def expected_of_server(spec: EngineSpec) -> dict[str, Any]:
    """What a running server has to be: where building and serving have the same setting, it is the serving one."""
    values = {**_identity(spec), **expected_values(spec)}
    if isinstance(spec, ClassicEngine):
        values |= spec.serving.model_dump(mode="json")
        values["triton_max_batch_size"] = spec.serving.triton_max_batch_size or spec.build.max_batch_size
        values["bls_instance_count"] = spec.serving.bls_instance_count or spec.build.max_batch_size
    if isinstance(spec, ServeEngine):
        values["served_model_name"] = spec.models[0]
    return values


def _identity(spec: EngineSpec) -> dict[str, Any]:
    source = {"model_source": spec.model.source} if isinstance(spec, NativeSpec) else {}
    return {"contract": spec.contract, **source}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    """Where both sides say something, and not the same; in the spec's order."""
    return list(_differences(expected, found))


def not_compared(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What the spec says and the other side does not tell."""
    return [name for name, value in expected.items() if name not in found and value not in AUTOMATIC]


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Difference]:
    for name, value in expected.items():
        if name not in found or (isinstance(value, str | None) and value in AUTOMATIC):
            continue
        choices = value if isinstance(value, tuple) else (value,)
        if plain(found[name]) not in [plain(choice) for choice in choices]:
            yield Difference(name, value, found[name])


def _precision(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """dtype, and the number formats: a tuple is one of several that mean it."""
    if not checkpoint:
        return {}
    values: dict[str, Any] = {"dtype": checkpoint.get("dtype")}
    qformat = checkpoint.get("qformat")
    values["quant_algo"] = QUANT_ALGOS[qformat] if qformat else (None, "NO_QUANT")
    cache = checkpoint.get("kv_cache_dtype")
    values["kv_cache_quant_algo"] = (cache.upper(),) if cache else (None, "NO_QUANT")
    return values


def _old_values(config: Mapping[str, Any]) -> dict[str, Any]:
    builder, plugins = config["builder_config"], config.get("plugin_config", {})
    values = {name: builder[old] for old, name in OLD_BUILDER.items() if old in builder}
    values |= {name: plugins[name] for name in PLUGIN_CONFIG if name in plugins}
    return {"contract": "classic", "version": "0.8 or older", **values}


def plain(value: Any) -> Any:
    """Without the differences of writing: enable/true, PAGED/KVCacheType.PAGED, disable/false/null, a list/a text."""
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, str):
        text = value.rpartition(".")[2].lower() if value.startswith("KVCacheType.") else value.lower()
        number = float(text) if re.fullmatch(r"\d+", text) else text
        return {"enable": True, "disable": False, "true": True, "false": False}.get(text, number)
    return False if value is None else value


def shown(value: Any) -> str:
    """A value for people."""
    if isinstance(value, tuple):
        return " or ".join(map(shown, value[:2]))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
