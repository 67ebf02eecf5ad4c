"""What a spec says of an engine, and of a server, to be compared with what was found (`engine_config`). Pure.

The names are those of specs (`max_batch_size`, `tp_size`, …), so that both sides can be compared. Where an engine or a
server does not tell something, it is "not told", which is no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.engine.classic import ClassicEngine
from harness.engine.llmapi import ServeEngine
from harness.engine.spec import EngineSpec, NativeSpec

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


@dataclass(frozen=True)
class Found:
    """What an engine or a server said it is."""

    where: str
    values: Mapping[str, Any]
    not_told: Mapping[str, str] = field(default_factory=dict)  # part → why


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


def asked_of_a_job(spec: EngineSpec) -> dict[str, list[Any]]:
    """`expected_of_engine` as JSON for `engine_config`'s program: each value as a list of those that will do."""
    expected = expected_of_engine(spec)
    choices = {name: list(value) if isinstance(value, tuple) else [value] for name, value in expected.items()}
    return {name: values for name, values in choices.items() if values != ["auto"] and values != [None]}


def _identity(spec: EngineSpec) -> dict[str, Any]:
    source = {"model_source": spec.model.source} if isinstance(spec, NativeSpec) else {}
    return {"contract": spec.contract, **source}


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
