"""What stands in an engine's `config.json`, and whether it is what was asked for. The standard library alone, in ASCII.

A build job on a cluster runs this very file as a program, in a container that has no `harness`: so what is built there
is judged as what is built here. The names are those of specs (`max_batch_size`, `tp_size`, ...).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "config.json"
BUILT = "built.json"  # the mark of an engine that was read back and is what its spec says

# Names in config.json, by the part they stand in (TensorRT-LLM's builder; engines up to 1.2).
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

LIMITS = ("max_batch_size", "max_num_tokens", "max_seq_len")  # an engine whose limits nobody knows cannot be judged
AUTOMATIC = ("auto", None)  # a spec that says so leaves the choice to the tool: nothing to compare


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


def read_engine(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of an engine's folder; and what it should tell or hold and does not, with the reason.

    Raises OSError when its config.json cannot be read, ValueError when that is no engine's.
    """
    try:
        values = engine_values(json.loads((folder / CONFIG).read_text()))
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"it is not laid out as an engine's: {error}") from error
    ranks = sorted(folder.glob("rank*.engine"))
    sizes = [rank.stat().st_size for rank in ranks]
    values |= {"ranks": len(ranks), "engine_bytes": sum(sizes)}
    missing = {}
    if "version" not in values:
        missing["version"] = f"{CONFIG} has none: the TensorRT-LLM that loads it may refuse it"
    wanted = values.get("world_size")
    if wanted is not None and wanted != len(ranks):
        missing["ranks"] = f"{CONFIG} says {wanted} ranks, {len(ranks)} rank*.engine files are there"
    elif 0 in sizes:
        missing["ranks"] = f"{ranks[sizes.index(0)].name} is empty"
    unknown = [name for name in LIMITS if name not in values]
    if unknown:
        missing["limits"] = f"{CONFIG} has no {', '.join(unknown)}"
    return values, missing


def complaints(expected: Mapping[str, Any], values: Mapping[str, Any], missing: Mapping[str, str]) -> list[str]:
    """Why what was built is not what was asked for; empty when it is."""
    return [*map(str, differences(expected, values)), *(f"{part}: {why}" for part, why in missing.items())]


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
        if _plain(found[name]) not in [_plain(choice) for choice in choices]:
            yield Difference(name, value, found[name])


def _old_values(config: Mapping[str, Any]) -> dict[str, Any]:
    builder, plugins = config["builder_config"], config.get("plugin_config", {})
    values = {name: builder[old] for old, name in OLD_BUILDER.items() if old in builder}
    values |= {name: plugins[name] for name in PLUGIN_CONFIG if name in plugins}
    return {"contract": "classic", "version": "0.8 or older", **values}


def _plain(value: Any) -> Any:
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


def main(folder: Path, expected: Mapping[str, Any]) -> int:
    """Judge `folder`, and mark it as built when it is what was expected. The exit status of a build job's last step."""
    try:
        values, missing = read_engine(folder)
        wrong = complaints(expected, values, missing)
    except (OSError, ValueError) as error:
        values, wrong = {}, [f"{folder / CONFIG}: {error}"]
    if wrong:
        print("what was built is not what the spec says:", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    untold = not_compared(expected, values)
    (folder / BUILT).write_text(json.dumps({"values": values, "not_compared": untold}, indent=2) + "\n")
    print(f"read back: it is what the spec says, in {len(expected) - len(untold)} of {len(expected)} settings")
    return 0


if __name__ == "__main__":  # python3 - FOLDER '{"max_batch_size": [64]}': each value is a list of those that will do
    sys.exit(main(Path(sys.argv[1]), {name: tuple(choices) for name, choices in json.loads(sys.argv[2]).items()}))
