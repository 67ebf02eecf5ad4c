"""Rendering for TensorRT-LLM: settings reach a file or command, tensors are the contract's, nothing is unfilled."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import text_format
from pydantic import BaseModel
from tritonclient.grpc import model_config_pb2

from harness.cli.engine_render_command import render
from harness.engine.classic_checkpoint import Conversion
from harness.engine.load import load_engine
from harness.engine.native_repository import FIXED, LEFT_OPEN, Places, classic_repository, llmapi_repository
from harness.engine.native_templates import CLASSIC_MODELS, Templates, fill, find_templates
from harness.errors import UsageError
from harness.resources import shipped
from harness.target.deployment_files import deployment_files

CLASSIC, FOUR, LLMAPI, NEWER, SERVE = (
    "llama-3.1-8b-fp8-h100",
    "llama-3.3-70b-fp8-h100x4",
    "llama-3.1-8b-bf16-h100",
    "llama-3.3-70b-fp8-h200x2",
    "llama-3.1-8b-fp8-h200-serve",
)
PLACES = Places("/engines/e", "/models/t")
WORDS = ("name", "description")  # change nothing that is measured
TAGS = ("kind", "made_by")


def files_of(spec: Any) -> dict[str, bytes]:
    places = Places("/engines/e", spec.model.tokenizer_source)
    templates = None if spec.kind == "serve" else find_templates(spec.kind, None)
    return deployment_files(spec, places, templates).files


# --- every setting reaches the files ----------------------------------------------------------------------------------


def leaves(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name))
        elif not (path == () and name in WORDS) and name not in TAGS:
            yield (*path, name)


def other_value(model: type[BaseModel], name: str, value: Any) -> Any:
    """Some other value of the field's type, whatever its bounds: no validator runs here."""
    annotation = model.model_fields[name].annotation
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    words = [word for part in flat(annotation) if get_origin(part) is Literal for word in get_args(part)]
    if words:
        return next((word for word in words if word != value), None)
    kinds = flat(annotation)
    if name == "tensorrt_llm_version":
        return "1.1.0"
    if value is not None:
        return [*value, 7] if isinstance(value, list) else f"{value}.x"
    if bool in kinds:
        return True
    if "list[" in str(annotation):
        return [7]
    return 7 if int in kinds else 0.5 if float in kinds else inner_model(kinds) or "7"


def flat(annotation: Any) -> list[Any]:
    if annotation is None or get_origin(annotation) is Literal or not get_args(annotation):
        return [annotation]
    return [each for part in get_args(annotation) for each in flat(part)]


def inner_model(kinds: list[Any]) -> BaseModel | None:
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind.model_construct(quant_algo="FP8", max_batch_size=3)
    return None


def replaced(model: BaseModel, path: tuple[str, ...]) -> Any:
    name, *rest = path
    value = getattr(model, name)
    new = replaced(value, tuple(rest)) if rest else other_value(type(model), name, value)
    return model.model_copy(update={name: new})


def everything(name: str) -> list[Any]:
    """The spec, and for classic ones the same with the other way to make a checkpoint."""
    spec = load_engine(name).spec
    if spec.kind != "classic":
        return [spec]
    return [spec, spec.model_copy(update={"checkpoint": Conversion(made_by="convert")})]


@pytest.mark.parametrize("name", [CLASSIC, FOUR, LLMAPI, NEWER, SERVE])
def test_every_setting_reaches_the_rendered_files_or_commands(name: str) -> None:
    silent = []
    for spec in everything(name):
        before = files_of(spec)
        for path in leaves(spec):
            if path in (("serving", "triton_backend"), ("parallelism", "moe_tp_size"), ("parallelism", "moe_ep_size")):
                continue  # tested by themselves: our templates hold one backend; experts are cut by `convert` alone
            if before == files_of(replaced(spec, path)):
                silent.append(".".join(path))
    assert silent == []


def test_experts_are_cut_when_a_checkpoint_is_converted() -> None:
    spec = load_engine(CLASSIC).spec.model_copy(update={"checkpoint": Conversion(made_by="convert")})
    experts = spec.parallelism.model_copy(update={"moe_tp_size": 2, "moe_ep_size": 4})
    script = files_of(spec.model_copy(update={"parallelism": experts}))["build.sh"].decode()
    assert "--moe_tp_size 2" in script
    assert "--moe_ep_size 4" in script


def test_the_blocks_of_the_cache_are_told_to_the_builder_when_it_has_any() -> None:
    assert "--tokens_per_block 32" in files_of(load_engine(CLASSIC).spec)["build.sh"].decode()


# --- tensors ----------------------------------------------------------------------------------------------------------

# name TYPE dims flags, written out from trtllm.md §1.2 to §1.5. `!` required, `s` a scalar (reshape to []), `r` ragged.
TEXT_IN = """text_input STRING 1 !;max_tokens INT32 1 !;decoder_text_input STRING 1;num_return_sequences INT32 1
bad_words STRING -1;stop_words STRING -1;exclude_input_in_output BOOL 1;end_id INT32 1;pad_id INT32 1;top_k INT32 1
top_p FP32 1;temperature FP32 1;length_penalty FP32 1;repetition_penalty FP32 1;presence_penalty FP32 1
frequency_penalty FP32 1;min_tokens INT32 1;seed UINT64 1;return_log_probs BOOL 1;return_context_logits BOOL 1
return_generation_logits BOOL 1;return_perf_metrics BOOL 1;return_num_input_tokens BOOL 1
return_num_output_tokens BOOL 1;beam_width INT32 1;stream BOOL 1;prompt_embedding_table FP16 -1,-1
prompt_vocab_size INT32 1;prompt_table_extra_id UINT64 1;embedding_bias_words STRING -1;embedding_bias_weights FP32 -1
lora_task_id UINT64 1;lora_weights FP16 -1,-1;lora_config INT32 -1,3;guided_decoding_guide_type STRING 1
guided_decoding_guide STRING 1"""
BLS_IN = (
    TEXT_IN
    + """;num_draft_tokens INT32 1;use_draft_logits BOOL 1;image_input FP16 -1,3,-1,-1
image_bytes_input UINT8 -1,-1,-1,-1;image_url_input STRING 1;video_bytes_input UINT8 -1,-1,-1,-1"""
)
SHARED_OUT = """cum_log_probs FP32 -1;output_log_probs FP32 -1,-1;context_logits FP32 -1,-1
generation_logits FP32 -1,-1,-1;batch_index INT32 1;sequence_index INT32 1;kv_cache_alloc_new_blocks INT32 1
kv_cache_reused_blocks INT32 1;kv_cache_alloc_total_blocks INT32 1;arrival_time_ns INT64 1
first_scheduled_time_ns INT64 1;first_token_time_ns INT64 1;last_token_time_ns INT64 1;acceptance_rate FP32 1
total_accepted_draft_tokens INT32 1;total_draft_tokens INT32 1;num_input_tokens INT32 1;num_output_tokens INT32 1"""
ENGINE_IN = """input_ids INT32 -1 r;input_lengths INT32 1 !s;request_output_len INT32 1 !s
encoder_input_features FP16 -1,-1;encoder_output_lengths INT32 1 s;decoder_input_ids INT32 -1
decoder_input_lengths INT32 1 s;cross_attention_mask BOOL -1,-1;skip_cross_attn_blocks BOOL 1;end_id INT32 1 s
pad_id INT32 1 s;stop_words_list INT32 2,-1;bad_words_list INT32 2,-1;embedding_bias FP32 -1;beam_width INT32 1 s
num_return_sequences INT32 1 s;temperature FP32 1 s;runtime_top_p FP32 1 s;runtime_top_p_min FP32 1 s
runtime_top_p_decay FP32 1 s;len_penalty FP32 1 s;repetition_penalty FP32 1 s;beam_search_diversity_rate FP32 1 s
presence_penalty FP32 1 s;frequency_penalty FP32 1 s;runtime_top_k INT32 1 s;runtime_top_p_reset_ids INT32 1 s
min_tokens INT32 1 s;early_stopping BOOL 1 s;seed UINT64 1 s;return_log_probs BOOL 1 s;return_context_logits BOOL 1 s
return_generation_logits BOOL 1 s;return_perf_metrics BOOL 1 s;return_num_input_tokens BOOL 1 s
return_num_output_tokens BOOL 1 s;exclude_input_in_output BOOL 1 s;stop BOOL 1 s;streaming BOOL 1 s
draft_input_ids INT32 -1;draft_logits FP32 -1,-1;draft_acceptance_threshold FP32 1 s
prompt_embedding_table FP16 -1,-1;prompt_table_extra_ids UINT64 -1;prompt_vocab_size INT32 1 s
mrope_rotary_cos_sin FP32 -1;mrope_position_deltas INT64 1;lora_task_id UINT64 1 s;lora_weights FP16 -1,-1
lora_config INT32 -1,3;context_phase_params UINT8 -1;retention_token_range_starts INT32 -1
retention_token_range_ends INT32 -1;retention_token_range_priorities INT32 -1
retention_token_range_durations_ms INT32 -1;retention_decode_priority INT32 1;retention_decode_duration_ms INT32 1
guided_decoding_guide_type STRING 1;guided_decoding_guide STRING 1;lookahead_window_size INT32 1
lookahead_ngram_size INT32 1;lookahead_verification_set_size INT32 1"""
LLM_IN = """text_input STRING -1 !;streaming BOOL 1;sampling_param_max_tokens INT32 1;sampling_param_top_k INT32 1
sampling_param_best_of INT32 1;sampling_param_temperature FP32 1;sampling_param_top_p FP32 1
sampling_param_frequency_penalty FP32 1;sampling_param_presence_penalty FP32 1;sampling_param_stop STRING -1
sampling_param_seed UINT64 1;sampling_param_exclude_input_from_output BOOL 1;sampling_param_return_perf_metrics BOOL 1
return_finish_reason BOOL 1;return_stop_reason BOOL 1;return_cumulative_logprob BOOL 1;stop BOOL 1"""
LLM_OUT = """text_output STRING -1;finish_reason STRING -1;stop_reason STRING -1;cumulative_logprob FP32 -1
kv_cache_reused_block INT32 -1;kv_cache_missed_block INT32 -1;kv_cache_alloc_new_blocks INT32 -1
kv_cache_alloc_total_blocks INT32 -1;kv_cache_hit_rate FP32 -1;arrival_time_ns INT64 1;first_scheduled_time_ns INT64 1
first_token_time_ns INT64 1;last_token_time_ns INT64 1;acceptance_rate FP32 1;total_accepted_draft_tokens INT32 1
total_draft_tokens INT32 1"""
PRE_IN = """QUERY STRING 1 !;REQUEST_OUTPUT_LEN INT32 1 !;DECODER_QUERY STRING 1;BAD_WORDS_DICT STRING -1
STOP_WORDS_DICT STRING -1;EMBEDDING_BIAS_WORDS STRING -1;EMBEDDING_BIAS_WEIGHTS FP32 -1;END_ID INT32 1;PAD_ID INT32 1
PROMPT_TABLE_EXTRA_ID UINT64 1"""
PRE_OUT = """INPUT_ID INT32 -1;REQUEST_INPUT_LEN INT32 1;DECODER_INPUT_ID INT32 -1;REQUEST_DECODER_INPUT_LEN INT32 1
BAD_WORDS_IDS INT32 2,-1;STOP_WORDS_IDS INT32 2,-1;EMBEDDING_BIAS FP32 -1;REQUEST_OUTPUT_LEN INT32 -1
OUT_END_ID INT32 1;OUT_PAD_ID INT32 1;OUT_PROMPT_TABLE_EXTRA_IDS UINT64 -1"""
CONTRACT = {
    "ensemble": (TEXT_IN, f"text_output STRING -1;{SHARED_OUT}"),
    "tensorrt_llm_bls": (BLS_IN, f"text_output STRING -1;{SHARED_OUT}"),
    "tensorrt_llm": (
        ENGINE_IN,
        f"output_ids INT32 -1,-1;sequence_length INT32 -1;{SHARED_OUT};context_phase_params UINT8 -1",
    ),
    "preprocessing": (PRE_IN, PRE_OUT),
    "postprocessing": ("TOKENS_BATCH INT32 -1,-1 !;SEQUENCE_LENGTH INT32 -1 !", "OUTPUT STRING -1"),
}


def table(text: str) -> dict[str, tuple[str, list[int], str]]:
    rows = [row.split() for row in re.split(r"[;\n]", text) if row.strip()]
    return {name: (kind, [int(d) for d in dims.split(",")], "".join(flags)) for name, kind, dims, *flags in rows}


def parsed(text: bytes) -> Any:
    return text_format.Parse(text.decode(), model_config_pb2.ModelConfig())


def assert_tensors(config: Any, inputs: str, outputs: str) -> None:
    kind = model_config_pb2.DataType.Name
    expected = table(inputs)
    assert {i.name: (kind(i.data_type), list(i.dims)) for i in config.input} == {
        name: (f"TYPE_{type_}", dims) for name, (type_, dims, _) in expected.items()
    }
    for tensor in config.input:
        flags = expected[tensor.name][2]
        assert tensor.optional == ("!" not in flags), tensor.name
        assert tensor.HasField("reshape") == ("s" in flags), tensor.name
        assert tensor.allow_ragged_batch or "r" not in flags, tensor.name
    assert [(o.name, kind(o.data_type), list(o.dims)) for o in sorted(config.output, key=lambda o: o.name)] == [
        (name, f"TYPE_{type_}", dims) for name, (type_, dims, _) in sorted(table(outputs).items())
    ]


@pytest.mark.parametrize("model", CLASSIC_MODELS)
def test_each_tensor_of_a_rendered_classic_model_is_the_contract_s(model: str) -> None:
    config = parsed(files_of(load_engine(CLASSIC).spec)[f"repository/{model}/config.pbtxt"])
    assert config.name == model
    assert config.max_batch_size == 512
    assert_tensors(config, *CONTRACT[model])


@pytest.mark.parametrize("name", [LLMAPI, NEWER])
def test_each_tensor_of_a_rendered_llmapi_model_is_the_contract_s(name: str) -> None:
    config = parsed(files_of(load_engine(name).spec)["repository/tensorrt_llm/config.pbtxt"])
    assert (config.backend, config.max_batch_size) == ("python", 0)
    assert_tensors(config, LLM_IN, LLM_OUT)


def test_every_map_of_the_ensemble_names_tensors_that_both_sides_have() -> None:
    files = files_of(load_engine(CLASSIC).spec)
    configs = {model: parsed(files[f"repository/{model}/config.pbtxt"]) for model in CLASSIC_MODELS}
    ensemble = configs["ensemble"]
    written = {tensor.name for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = configs[step.model_name]
        assert set(step.input_map) <= {tensor.name for tensor in model.input}
        assert set(step.output_map) <= {tensor.name for tensor in model.output}
        assert set(step.input_map.values()) <= written
        written |= set(step.output_map.values())
        assert {tensor.name for tensor in model.input if not tensor.optional} <= set(step.input_map)
    assert {tensor.name for tensor in ensemble.output} <= written


# --- NVIDIA's templates -----------------------------------------------------------------------------------------------

UPSTREAM_VARIABLES = [
    "max_beam_width",
    "batching_strategy",
    "engine_dir",
    "encoder_engine_dir",
    "max_tokens_in_paged_kv_cache",
    "max_attention_window_size",
    "sink_token_length",
    "batch_scheduler_policy",
    "kv_cache_free_gpu_mem_fraction",
    "cross_kv_cache_fraction",
    "kv_cache_host_memory_bytes",
    "kv_cache_onboard_blocks",
    "enable_trt_overlap",
    "exclude_input_in_output",
    "cancellation_check_period_ms",
    "stats_check_period_ms",
    "iter_stats_max_iterations",
    "request_stats_max_iterations",
    "enable_kv_cache_reuse",
    "normalize_log_probs",
    "enable_chunked_context",
    "gpu_device_ids",
    "participant_ids",
    "num_nodes",
    "lora_cache_optimal_adapter_size",
    "lora_cache_max_adapter_size",
    "lora_cache_gpu_memory_fraction",
    "lora_cache_host_memory_bytes",
    "lora_prefetch_dir",
    "decoding_mode",
    "lookahead_window_size",
    "lookahead_ngram_size",
    "lookahead_verification_set_size",
    "medusa_choices",
    "eagle_choices",
    "gpu_weights_percent",
    "enable_context_fmha_fp32_acc",
    "multi_block_mode",
    "cuda_graph_mode",
    "cuda_graph_cache_size",
    "speculative_decoding_fast_logits",
    "tokenizer_dir",
    "guided_decoding_backend",
    "xgrammar_tokenizer_info_path",
]  # trtllm.md §2.1


def upstream(folder: Path, *, more: str = "") -> Path:
    """all_models in upstream's manner: long form, all variables of §2.1, a version folder without files."""
    root = folder / "all_models" / "inflight_batcher_llm"
    for model in CLASSIC_MODELS:
        (root / model / "1").mkdir(parents=True)
        text = shipped("engines", "repositories", "classic", model, "config.pbtxt").read_text()
        if model == "tensorrt_llm":
            text = text[: text.index("parameters")]
            text += "".join(long_parameter(name) for name in UPSTREAM_VARIABLES) + more
        if model == "preprocessing":
            text += "".join(long_parameter(name) for name in ("multimodal_model_path", "max_num_images", "engine_dir"))
        (root / model / "config.pbtxt").write_text(text)
    return folder / "all_models"


def long_parameter(name: str) -> str:
    return f'parameters: {{\n  key: "{name}"\n    value: {{\n      string_value: "${{{name}}}"\n  }}\n}}\n'


def test_upstream_s_templates_are_filled_with_every_variable_accounted_for(tmp_path: Path) -> None:
    templates = find_templates("classic", upstream(tmp_path))
    files = classic_repository(load_engine(CLASSIC).spec, PLACES, templates)
    for model in CLASSIC_MODELS:
        text = files[f"{model}/config.pbtxt"]
        assert b"${" not in text
        assert f"{model}/1/.keep" in files
        parsed(text)
    parameters = parsed(files["tensorrt_llm/config.pbtxt"]).parameters
    assert parameters["engine_dir"].string_value == "/engines/e"
    assert parameters["enable_kv_cache_reuse"].string_value == "false"
    assert "participant_ids" not in parameters, "what has no value is left out, not text that fails to parse"
    assert all(value.string_value for value in parameters.values())
    preprocessing = parsed(files["preprocessing/config.pbtxt"]).parameters
    assert preprocessing["multimodal_model_path"].string_value == ""


def test_a_variable_of_a_template_that_nothing_fills_is_an_error(tmp_path: Path) -> None:
    folder = upstream(tmp_path, more=long_parameter("brand_new_setting"))
    with pytest.raises(UsageError, match=r"tensorrt_llm/config.pbtxt: nothing fills \$\{brand_new_setting\}"):
        classic_repository(load_engine(CLASSIC).spec, PLACES, find_templates("classic", folder))


def test_a_setting_for_which_no_template_has_a_place_is_an_error(tmp_path: Path) -> None:
    folder = upstream(tmp_path)
    config = folder / "inflight_batcher_llm" / "tensorrt_llm" / "config.pbtxt"
    config.write_text(config.read_text().replace(long_parameter("enable_chunked_context"), ""))
    with pytest.raises(UsageError, match="no template has a place for enable_chunked_context"):
        classic_repository(load_engine(CLASSIC).spec, PLACES, find_templates("classic", folder))


def test_a_folder_without_the_models_is_not_taken_for_templates(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no template for ensemble"):
        find_templates("classic", tmp_path)


def test_a_configuration_that_triton_could_not_read_is_an_error(tmp_path: Path) -> None:
    folder = upstream(tmp_path, more="surprise: 1\n")
    with pytest.raises(UsageError, match="Triton could not read the rendered configuration"):
        classic_repository(load_engine(CLASSIC).spec, PLACES, find_templates("classic", folder))


def test_all_variables_of_upstream_have_a_value_or_are_left_open_on_purpose() -> None:
    spec = load_engine(CLASSIC).spec
    known = {*LEFT_OPEN, *FIXED, *type(spec.serving).model_fields, "engine_dir", "tokenizer_dir"}
    assert set(UPSTREAM_VARIABLES) <= known


def test_a_value_that_cannot_be_left_out_is_an_error() -> None:
    with pytest.raises(UsageError, match="cannot be left out"):
        fill("tensorrt_llm/config.pbtxt", b"max_batch_size: ${size}", {"size": None})


def test_the_python_runtime_needs_upstream_s_templates() -> None:
    spec = load_engine(CLASSIC).spec
    spec = spec.model_copy(update={"serving": spec.serving.model_copy(update={"triton_backend": "python"})})
    with pytest.raises(UsageError, match="--templates DIR"):
        classic_repository(spec, PLACES, find_templates("classic", None))


def test_several_instances_of_the_llm_api_are_counted_and_given_their_gpus() -> None:
    spec = load_engine(LLMAPI).spec
    triton = spec.triton.model_copy(update={"instance_count": 2, "gpu_device_ids": "0;1"})
    files = llmapi_repository(spec.model_copy(update={"triton": triton}), find_templates("llmapi", None))
    config = parsed(files["tensorrt_llm/config.pbtxt"])
    assert config.instance_group[0].count == 2
    assert config.parameters["gpu_device_ids"].string_value == "0;1"


def test_the_llmapi_template_must_have_one_count() -> None:
    broken = Templates({"tensorrt_llm/config.pbtxt": b'name: "tensorrt_llm"'}, "there", False)
    with pytest.raises(UsageError, match="one instance_group"):
        llmapi_repository(load_engine(LLMAPI).spec, broken)


# --- scripts and the command ------------------------------------------------------------------------------------------


def test_the_launch_script_starts_one_process_per_gpu() -> None:
    script = files_of(load_engine(FOUR).spec)["launch.sh"].decode()
    assert script.count("-n 1 /opt/tritonserver/bin/tritonserver") == 4
    assert script.count("shm-region-prefix-name=prefix") == 4
    assert "mpirun" not in files_of(load_engine(CLASSIC).spec)["launch.sh"].decode()


def test_auto_complete_stays_on_for_the_llm_api_whose_batching_comes_from_its_model() -> None:
    assert "--disable-auto-complete-config" in files_of(load_engine(CLASSIC).spec)["launch.sh"].decode()
    assert "--disable-auto-complete-config" not in files_of(load_engine(NEWER).spec)["launch.sh"].decode()


def test_trtllm_serve_gets_only_arguments_of_the_llm_api_in_its_yaml() -> None:
    files = files_of(load_engine(SERVE).spec)
    arguments = yaml.safe_load(files["llm.yaml"])
    assert arguments["max_batch_size"] == 1024
    assert arguments["kv_cache_config"]["enable_block_reuse"] is False
    assert "served_model_name" not in arguments
    assert "--served_model_name llama-3.1-8b" in files["launch.sh"].decode()


def test_the_command_writes_a_folder_and_tells_the_traps(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = CliRunner().invoke(render, [LLMAPI, "--output", str(folder)])
    assert done.exit_code == 0, done.output
    assert "counts no tokens" in done.output
    assert (folder / "launch.sh").stat().st_mode & 0o100
    assert yaml.safe_load((folder / "repository/tensorrt_llm/1/model.yaml").read_text())["triton_config"] == {
        "max_batch_size": 0,
        "decoupled": True,
        "cancellation_check_period_ms": 100,
    }
    again = CliRunner().invoke(render, [LLMAPI, "--output", str(folder)])
    assert isinstance(again.exception, UsageError)


def test_the_templates_of_ours_use_only_upstream_s_variables() -> None:
    ours = find_templates("classic", None)
    names = {
        name
        for path, text in ours.files.items()
        if path.endswith(".pbtxt")
        for name in string.Template(text.decode()).get_identifiers()
    }
    more = "triton_backend triton_max_batch_size decoupled_mode max_queue_delay_microseconds max_queue_size "
    more += "logits_datatype accumulate_tokens tensorrt_llm_model_name bls_instance_count add_special_tokens "
    more += "skip_special_tokens preprocessing_instance_count postprocessing_instance_count"
    assert names <= {*UPSTREAM_VARIABLES, *more.split()}
