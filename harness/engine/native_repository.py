"""The Triton repository of a classic or LLM-API engine: a spec and templates in, files out. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from harness.engine.classic import ClassicEngine
from harness.engine.llm_arguments import LlmArguments
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.native_templates import Templates, check, fill, outside_comments
from harness.errors import UsageError

CONFIG = "config.pbtxt"
LLM_MODEL = "tensorrt_llm"

# Variables of NVIDIA's templates that belong to what these specs do not describe: left open, or fixed.
LEFT_OPEN = [
    "encoder_engine_dir",
    "cross_kv_cache_fraction",
    "kv_cache_onboard_blocks",
    "participant_ids",
    "num_nodes",
    "lora_cache_optimal_adapter_size",
    "lora_cache_max_adapter_size",
    "lora_cache_gpu_memory_fraction",
    "lora_cache_host_memory_bytes",
    "lora_prefetch_dir",
    "lookahead_window_size",
    "lookahead_ngram_size",
    "lookahead_verification_set_size",
    "medusa_choices",
    "eagle_choices",
    "speculative_decoding_fast_logits",
    "multimodal_model_path",
    "max_num_images",
    "hf_model_path",
    "tensorrt_llm_draft_model_name",
    "multimodal_encoders_name",
]
FIXED = {
    "tensorrt_llm_model_name": LLM_MODEL,
    "encoder_input_features_data_type": "TYPE_FP16",
    "prompt_embedding_table_data_type": "TYPE_FP16",
}
# Settings whose default here is not TensorRT-LLM's, or not that of its templates: they need their place even unnamed.
OURS = ["triton_max_batch_size", "decoupled", "exclude_input_in_output"]
OURS += ["preprocessing_instance_count", "postprocessing_instance_count", "bls_instance_count"]
OTHER_NAME = {"decoupled": "decoupled_mode"}  # of a setting → its variable, where they differ


@dataclass(frozen=True)
class Places:
    """Where the server finds what it serves; paths as the server sees them."""

    engine_dir: str
    tokenizer_dir: str


def classic_repository(spec: ClassicEngine, places: Places, templates: Templates) -> dict[str, bytes]:
    """The files of the repository, by path inside it.

    Raises UsageError when a template asks for what nothing fills, or has no place for a setting that the spec names or
    whose default here is not TensorRT-LLM's.
    """
    if templates.are_ours and spec.serving.triton_backend == "python":
        raise UsageError(
            "the Python runtime of TensorRT-LLM is a file of its own repository, which ours does not hold",
            hint="--templates DIR with NVIDIA's all_models, or triton_backend: tensorrtllm",
        )
    values = classic_values(spec, places)
    files, used = dict(templates.files), set[str]()
    for path in [path for path in files if path.endswith(f"/{CONFIG}")]:
        files[path], names = fill(path, files[path], values)
        check(path, files[path])
        used |= names
    wanted = {OTHER_NAME.get(name, name) for name in (*spec.serving.model_fields_set, *OURS)}
    homeless = sorted(name for name in wanted - used if values.get(name) is not None)
    if homeless:
        raise UsageError(
            f"{templates.origin}: no template has a place for {', '.join(homeless)}",
            hint=f"are they of another TensorRT-LLM than {spec.tensorrt_llm_version}? Else leave out what they lack",
        )
    return files


def classic_values(spec: ClassicEngine, places: Places) -> dict[str, str | None]:
    """Every variable with its text; None is left to TensorRT-LLM's own default."""
    serving = spec.serving.model_dump()
    serving["triton_max_batch_size"] = spec.serving.triton_max_batch_size or spec.build.max_batch_size
    serving["bls_instance_count"] = spec.serving.bls_instance_count or spec.build.max_batch_size
    values: dict[str, str | None] = dict.fromkeys(LEFT_OPEN)
    values |= {OTHER_NAME.get(name, name): _text(value) for name, value in serving.items()}
    return {**values, **FIXED, "engine_dir": places.engine_dir, "tokenizer_dir": places.tokenizer_dir}


def llmapi_repository(spec: LlmApiEngine, templates: Templates) -> dict[str, bytes]:
    """The files of the repository: NVIDIA's or our model, with this spec's model.yaml. Raises UsageError."""
    files = dict(templates.files)
    path = f"{LLM_MODEL}/{CONFIG}"
    files[path], _ = fill(path, _with_instances(files[path].decode(), spec), {})  # it has no variables
    check(path, files[path])
    triton = {"max_batch_size": 0, "decoupled": spec.triton.decoupled}
    triton["cancellation_check_period_ms"] = spec.triton.cancellation_check_period_ms
    files[f"{LLM_MODEL}/1/model.yaml"] = _yaml({**_model(spec), **llm_arguments(spec.llm), "triton_config": triton})
    return files


def serve_yaml(spec: ServeEngine) -> bytes:
    """The YAML of LLM arguments for trtllm-serve."""
    return _yaml(llm_arguments(spec.llm))


def llm_arguments(llm: LlmArguments) -> dict[str, object]:
    """The arguments of `LLM()` that are written out; what is None is left to TensorRT-LLM."""
    return llm.model_dump(mode="json", exclude_none=True)


def _model(spec: LlmApiEngine) -> dict[str, object]:
    model = {"model": spec.model.source, "revision": spec.model.revision, "tokenizer": spec.model.tokenizer}
    return {name: value for name, value in model.items() if value is not None}


def _with_instances(text: str, spec: LlmApiEngine) -> bytes:
    count = r"\bcount\s*:\s*\d+"
    found = len(re.findall(count, outside_comments(r"(?!)", "", text, keep_comments=False)))
    if found != 1:
        raise UsageError(f"{LLM_MODEL}/{CONFIG}: expected one instance_group with a count, found {found}")
    counted = outside_comments(count, f"count: {spec.triton.instance_count}", text)
    if spec.triton.gpu_device_ids is not None:
        devices = spec.triton.gpu_device_ids
        counted += f'parameters {{ key: "gpu_device_ids" value {{ string_value: "{devices}" }} }}\n'
    return counted.encode()


def _yaml(content: dict[str, object]) -> bytes:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
