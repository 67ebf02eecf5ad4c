"""Rendering for TensorRT-LLM: settings reach a file or command, tensors are the contract's, nothing is unfilled."""

from __future__ import annotations

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
from harness.engine.native_repository import (
    FIXED,
    LEFT_OPEN,
    Places,
    classic_repository,
    classic_values,
    llmapi_repository,
)
from harness.engine.native_templates import CLASSIC_MODELS, Templates, fill, find_templates
from harness.errors import UsageError
from harness.resources import shipped
from harness.target.deployment_files import deployment_files
from tests.oracle import fill_template
from tests.oracle.trtllm_tensors import CONTRACT, LLM_IN, LLM_OUT, MODELS, RAGGED, table

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


def without_comments(files: dict[str, bytes]) -> dict[str, list[str]]:
    return {
        path: [line for line in content.decode().splitlines() if not line.startswith("#")]
        for path, content in files.items()
    }


@pytest.mark.parametrize("name", [CLASSIC, FOUR, LLMAPI, NEWER, SERVE])
def test_every_setting_reaches_the_rendered_files_or_commands(name: str) -> None:
    silent = []
    for spec in everything(name):
        before, said = files_of(spec), without_comments(files_of(spec))
        for path in leaves(spec):
            if path in (("serving", "triton_backend"), ("parallelism", "moe_tp_size"), ("parallelism", "moe_ep_size")):
                continue  # tested by themselves: our templates hold one backend; experts are cut by `convert` alone
            after = files_of(replaced(spec, path))
            is_heading = path[0] in ("gpu", "tensorrt_llm_version")  # what it is for: told, not set
            if before == after or (said == without_comments(after) and not is_heading):
                silent.append(".".join(path))
    assert silent == []


def test_the_build_script_fetches_the_named_revision_unless_the_weights_are_a_folder() -> None:
    spec = load_engine(CLASSIC).spec
    named = spec.model_copy(update={"model": spec.model.model_copy(update={"revision": "abc"})})
    script = files_of(named)["build.sh"].decode()
    assert "huggingface-cli download meta-llama/Llama-3.1-8B-Instruct" in script
    assert "--revision abc" in script
    assert "--model_dir /engines/e.weights" in script
    local = spec.model_copy(update={"model": spec.model.model_copy(update={"source": "/weights/8b"})})
    script = files_of(local)["build.sh"].decode()
    assert "download" not in script
    assert "--model_dir /weights/8b" in script


def test_experts_are_cut_when_a_checkpoint_is_converted() -> None:
    spec = load_engine(CLASSIC).spec.model_copy(update={"checkpoint": Conversion(made_by="convert")})
    experts = spec.parallelism.model_copy(update={"moe_tp_size": 2, "moe_ep_size": 4})
    script = files_of(spec.model_copy(update={"parallelism": experts}))["build.sh"].decode()
    assert "--moe_tp_size 2" in script
    assert "--moe_ep_size 4" in script


def test_the_blocks_of_the_cache_are_told_to_the_builder_when_it_has_any() -> None:
    assert "--tokens_per_block 32" in files_of(load_engine(CLASSIC).spec)["build.sh"].decode()


# --- tensors ----------------------------------------------------------------------------------------------------------


def parsed(text: bytes) -> Any:
    return text_format.Parse(text.decode(), model_config_pb2.ModelConfig())


def assert_tensors(config: Any, inputs: str, outputs: str, ragged: str = "") -> None:
    kind = model_config_pb2.DataType.Name
    expected = table(inputs)
    assert {i.name: (kind(i.data_type), list(i.dims)) for i in config.input} == {
        name: (f"TYPE_{type_}", dims) for name, (type_, dims, _) in expected.items()
    }
    assert len(config.input) == len(expected)
    for tensor in config.input:
        flags = expected[tensor.name][2]
        assert tensor.optional == ("!" not in flags), tensor.name
        assert tensor.HasField("reshape") == ("s" in flags), tensor.name
        assert not tensor.reshape.shape, tensor.name
        assert tensor.allow_ragged_batch == (tensor.name in ragged.split()), tensor.name
    assert [(o.name, kind(o.data_type), list(o.dims)) for o in sorted(config.output, key=lambda o: o.name)] == [
        (name, f"TYPE_{type_}", dims) for name, (type_, dims, _) in sorted(table(outputs).items())
    ]


@pytest.mark.parametrize("model", CLASSIC_MODELS)
def test_each_tensor_of_a_rendered_classic_model_is_the_contract_s(model: str) -> None:
    config = parsed(files_of(load_engine(CLASSIC).spec)[f"repository/{model}/config.pbtxt"])
    assert config.name == model
    assert config.max_batch_size == 512
    assert_tensors(config, *CONTRACT[model], ragged=RAGGED if model == "tensorrt_llm" else "")


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("model", CLASSIC_MODELS)
def test_each_classic_model_is_run_batched_and_decoupled_as_upstream_s(model: str, decoupled: bool) -> None:
    spec = load_engine(CLASSIC).spec
    spec = spec.model_copy(update={"serving": spec.serving.model_copy(update={"decoupled": decoupled})})
    config = parsed(files_of(spec)[f"repository/{model}/config.pbtxt"])
    by, follows, batches = MODELS[model]
    assert (config.platform or config.backend) == by
    assert config.model_transaction_policy.decoupled == (follows and decoupled)
    assert config.HasField("dynamic_batching") == batches
    if model in ("preprocessing", "tensorrt_llm"):
        assert list(config.dynamic_batching.preferred_batch_size) == [512]
    counts = {"preprocessing": 5, "postprocessing": 5, "tensorrt_llm": 1, "tensorrt_llm_bls": 512}
    assert [group.count for group in config.instance_group] == ([counts[model]] if model in counts else [])
    assert {group.kind for group in config.instance_group} <= {model_config_pb2.ModelInstanceGroup.KIND_CPU}


def test_the_parameters_of_the_engine_are_those_of_upstream_under_its_keys() -> None:
    keys = {"batching_strategy": "gpt_model_type", "engine_dir": "gpt_model_path"}
    files = files_of(load_engine(CLASSIC).spec)
    rendered = parsed(files["repository/tensorrt_llm/config.pbtxt"]).parameters
    fixed = {"FORCE_CPU_ONLY_INPUT_TENSORS", "executor_worker_path"}
    assert set(rendered) - fixed <= {keys.get(name, name) for name in UPSTREAM_VARIABLES}
    assert rendered["gpt_model_type"].string_value == "inflight_fused_batching"
    assert rendered["gpt_model_path"].string_value == "/engines/e"
    assert rendered["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value == "no"
    assert "worker_path" not in rendered, "TensorRT-LLM fails when it is there"


@pytest.mark.parametrize("name", [LLMAPI, NEWER])
def test_each_tensor_of_a_rendered_llmapi_model_is_the_contract_s(name: str) -> None:
    config = parsed(files_of(load_engine(name).spec)["repository/tensorrt_llm/config.pbtxt"])
    assert (config.backend, config.max_batch_size) == ("python", 0)
    assert not config.HasField("model_transaction_policy"), "it comes from model.yaml"
    assert not config.HasField("dynamic_batching")
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


def long_parameter(name: str, key: str = "") -> str:
    return f'parameters: {{\n  key: "{key or name}"\n    value: {{\n      string_value: "${{{name}}}"\n  }}\n}}\n'


def rendered_upstream(folder: Path, more: str = "", places: Places = PLACES) -> dict[str, bytes]:
    return classic_repository(load_engine(CLASSIC).spec, places, find_templates("classic", upstream(folder, more=more)))


def parameters_of(text: bytes) -> dict[str, str]:
    return {key: value.string_value for key, value in parsed(text).parameters.items()}


def test_upstream_s_templates_are_filled_with_every_variable_accounted_for(tmp_path: Path) -> None:
    files = rendered_upstream(tmp_path)
    for model in CLASSIC_MODELS:
        text = files[f"{model}/config.pbtxt"]
        assert b"${" not in text
        assert f"{model}/1/.keep" in files
        parsed(text)
    parameters = parameters_of(files["tensorrt_llm/config.pbtxt"])
    assert parameters["engine_dir"] == "/engines/e"
    assert parameters["enable_kv_cache_reuse"] == "false"
    assert "participant_ids" not in parameters, "what has no value is left out, not text that fails to parse"
    assert all(parameters.values())
    assert parameters_of(files["preprocessing/config.pbtxt"])["multimodal_model_path"] == ""


@pytest.mark.parametrize("model", CLASSIC_MODELS)
def test_filling_is_what_upstream_s_own_tool_does_but_for_what_it_would_leave_open(tmp_path: Path, model: str) -> None:
    spec = load_engine(CLASSIC).spec
    serving = spec.serving.model_copy(update={"max_attention_window_size": [4096, 8192], "gpu_device_ids": "0,1"})
    spec = spec.model_copy(update={"serving": serving})
    places = Places("/engines/a,b:c", "/models/t")  # a comma and a colon, which the tool cuts at
    templates = find_templates("classic", upstream(tmp_path))
    template = templates.files[f"{model}/config.pbtxt"].decode()
    values = {
        name: text for name, text in classic_values(spec, places).items() if text is not None and name in template
    }
    by_tool = parsed(fill_template.filled(template, fill_template.as_pairs(values)).encode())
    for key in [key for key, value in by_tool.parameters.items() if value.string_value.startswith("${")]:
        by_tool.parameters.pop(key)
    ours = parsed(classic_repository(spec, places, templates)[f"{model}/config.pbtxt"])
    for key in [key for key, value in ours.parameters.items() if not value.string_value]:
        ours.parameters.pop(key)  # Python models: an empty text is "not given", as an open variable is
    assert ours == by_tool
    if model == "tensorrt_llm":
        assert ours.parameters["max_attention_window_size"].string_value == "4096,8192"
        assert ours.parameters["engine_dir"].string_value == "/engines/a,b:c"


def test_a_variable_that_stands_twice_is_filled_or_taken_out_in_both_places(tmp_path: Path) -> None:
    more = long_parameter("tokenizer_dir", "also_there") + long_parameter("participant_ids", "ranks_too")
    parameters = parameters_of(rendered_upstream(tmp_path, more)["tensorrt_llm/config.pbtxt"])
    assert parameters["tokenizer_dir"] == parameters["also_there"] == "/models/t"
    assert not {"participant_ids", "ranks_too"} & set(parameters)


def test_an_open_variable_that_also_stands_elsewhere_is_an_error_not_an_empty_text(tmp_path: Path) -> None:
    more = 'parameters { key: "both" value { string_value: "${participant_ids}/${engine_dir}" } }\n'
    with pytest.raises(UsageError, match=r"tensorrt_llm/config.pbtxt: \$\{participant_ids\} has no value"):
        rendered_upstream(tmp_path, more)


IN_COMMENTS = """# default: ${a_variable_of_another_version}, see also ${participant_ids} and ${max_beam_width}
# parameters { key: "switched_off" value { string_value: "${num_nodes}" } }
# parameters: {
#   key: "switched_off_too"
#   value: { string_value: "${lora_prefetch_dir}" }
# }
parameters: { # a word on it
  key: "num_nodes" # of MPI
  value: {
    # count: 9
    string_value: "${num_nodes}" # default: 1
  }
}
parameters { key: "with_a_mark" value { string_value: "a # b ${engine_dir}" } }
parameters { key: "last" value { string_value: "yes" } }
"""


def test_comments_are_no_part_of_a_template(tmp_path: Path) -> None:
    text = rendered_upstream(tmp_path, IN_COMMENTS)["tensorrt_llm/config.pbtxt"]
    parameters = parameters_of(text)
    assert not {"switched_off", "switched_off_too", "num_nodes"} & set(parameters)
    assert parameters["with_a_mark"] == "a # b /engines/e"
    assert parameters["last"] == "yes", "what follows a parameter that was taken out is not drawn into a comment"
    assert b"# parameters { key" in text


def test_text_that_protobuf_or_the_template_would_read_otherwise_reaches_triton_as_it_is(tmp_path: Path) -> None:
    odd = Places('/engines/a"b\\c $x ${y} $$ #,:', "/models/ü")
    files = rendered_upstream(tmp_path, places=odd)
    assert parameters_of(files["tensorrt_llm/config.pbtxt"])["engine_dir"] == odd.engine_dir
    assert parameters_of(files["preprocessing/config.pbtxt"])["tokenizer_dir"] == odd.tokenizer_dir


def test_a_variable_of_a_template_that_nothing_fills_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tensorrt_llm/config.pbtxt: nothing fills \$\{brand_new_setting\}"):
        rendered_upstream(tmp_path, long_parameter("brand_new_setting"))


@pytest.mark.parametrize("setting", ["enable_chunked_context", "exclude_input_in_output"])
def test_a_setting_named_or_with_a_default_of_ours_needs_its_place_in_the_templates(
    tmp_path: Path, setting: str
) -> None:
    folder = upstream(tmp_path)
    config = folder / "inflight_batcher_llm" / "tensorrt_llm" / "config.pbtxt"
    config.write_text(config.read_text().replace(long_parameter(setting), ""))
    spec = load_engine(FOUR).spec
    assert ("exclude_input_in_output" in spec.serving.model_fields_set) is False
    with pytest.raises(UsageError, match=f"no template has a place for {setting}"):
        classic_repository(spec, PLACES, find_templates("classic", folder))


def test_a_fixed_count_of_processes_in_a_template_is_no_place_for_ours(tmp_path: Path) -> None:
    folder = upstream(tmp_path)
    config = folder / "inflight_batcher_llm" / "tensorrt_llm_bls" / "config.pbtxt"
    config.write_text(config.read_text().replace("${bls_instance_count}", "1"))
    with pytest.raises(UsageError, match="no template has a place for bls_instance_count"):
        classic_repository(load_engine(FOUR).spec, PLACES, find_templates("classic", folder))


def test_a_folder_without_the_models_is_not_taken_for_templates(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no template for ensemble"):
        find_templates("classic", tmp_path)


def test_a_configuration_that_triton_could_not_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Triton could not read the rendered configuration"):
        rendered_upstream(tmp_path, "surprise: 1\n")


def test_all_variables_of_upstream_have_a_value_or_are_left_open_on_purpose() -> None:
    spec = load_engine(CLASSIC).spec
    known = {*LEFT_OPEN, *FIXED, *type(spec.serving).model_fields, "engine_dir", "tokenizer_dir"}
    assert set(UPSTREAM_VARIABLES) <= known


def test_a_value_that_cannot_be_left_out_is_an_error() -> None:
    with pytest.raises(UsageError, match="cannot be left out"):
        fill("tensorrt_llm/config.pbtxt", b"max_batch_size: ${size}", {"size": None})


def test_the_python_runtime_needs_upstream_s_templates(tmp_path: Path) -> None:
    spec = load_engine(CLASSIC).spec
    spec = spec.model_copy(update={"serving": spec.serving.model_copy(update={"triton_backend": "python"})})
    with pytest.raises(UsageError, match="--templates DIR"):
        classic_repository(spec, PLACES, find_templates("classic", None))
    files = classic_repository(spec, PLACES, find_templates("classic", upstream(tmp_path)))
    assert parsed(files["tensorrt_llm/config.pbtxt"]).backend == "python"


UPSTREAM_LLMAPI = """name: "tensorrt_llm"
backend: "python"
# Please set these in model.yaml:
# max_batch_size: 64
# instance_group [ { count: 9 } ]
instance_group [
  {
    count: 1
    kind : KIND_CPU
  }
]
"""


def test_several_instances_of_the_llm_api_are_counted_and_given_their_gpus(tmp_path: Path) -> None:
    spec = load_engine(LLMAPI).spec
    triton = spec.triton.model_copy(update={"instance_count": 2, "gpu_device_ids": "0;1"})
    spec = spec.model_copy(update={"triton": triton})
    (tmp_path / "llmapi" / "tensorrt_llm" / "1").mkdir(parents=True)
    (tmp_path / "llmapi" / "tensorrt_llm" / "config.pbtxt").write_text(UPSTREAM_LLMAPI)
    for templates in (find_templates("llmapi", None), find_templates("llmapi", tmp_path)):
        files = llmapi_repository(spec, templates)
        config = parsed(files["tensorrt_llm/config.pbtxt"])
        assert [group.count for group in config.instance_group] == [2]
        assert config.max_batch_size == 0
        assert config.parameters["gpu_device_ids"].string_value == "0;1"


def test_the_llmapi_template_must_have_one_count_and_no_variable() -> None:
    broken = Templates({"tensorrt_llm/config.pbtxt": b'name: "tensorrt_llm"'}, "there", False)
    with pytest.raises(UsageError, match="one instance_group"):
        llmapi_repository(load_engine(LLMAPI).spec, broken)
    newer = Templates({"tensorrt_llm/config.pbtxt": f"{UPSTREAM_LLMAPI}version: ${{new}}".encode()}, "there", False)
    with pytest.raises(UsageError, match=r"nothing fills \$\{new\}"):
        llmapi_repository(load_engine(LLMAPI).spec, newer)


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
