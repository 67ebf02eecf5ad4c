"""Reading an engine's config.json, and comparing it with a spec. The files are constructed after the facts."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engine.engine_config import differences, engine_values, not_compared
from harness.engine.inspect import expected_values
from harness.engine.load import load_engine

CONFIG: dict[str, Any] = {
    "version": "1.2.1",
    "pretrained_config": {
        "architecture": "LlamaForCausalLM",
        "dtype": "bfloat16",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        "mapping": {"world_size": 2, "tp_size": 2, "pp_size": 1},
    },
    "build_config": {
        "max_batch_size": 256,
        "max_num_tokens": 8192,
        "max_seq_len": 4096,
        "max_beam_width": 1,
        "kv_cache_type": "PAGED",
        "plugin_config": {"tokens_per_block": 32, "use_paged_context_fmha": True, "gemm_plugin": None},
    },
}


def test_an_engine_tells_limits_precision_parallelism_and_version() -> None:
    values = engine_values(CONFIG)
    assert values["version"] == "1.2.1"
    assert (values["max_batch_size"], values["max_num_tokens"], values["max_seq_len"]) == (256, 8192, 4096)
    assert (values["quant_algo"], values["kv_cache_quant_algo"], values["dtype"]) == ("FP8", "FP8", "bfloat16")
    assert (values["world_size"], values["tp_size"]) == (2, 2)
    assert values["tokens_per_block"] == 32


def test_a_very_old_engine_is_read_too() -> None:
    old = {
        "builder_config": {"max_batch_size": 8, "max_output_len": 200, "precision": "float16", "tensor_parallel": 4},
        "plugin_config": {"tokens_per_block": 64},
    }
    values = engine_values(old)
    assert values["version"] == "0.8 or older"
    assert (values["tp_size"], values["dtype"], values["tokens_per_block"]) == (4, "float16", 64)


def test_another_config_json_is_no_engine() -> None:
    with pytest.raises(ValueError, match="no TensorRT-LLM engine"):
        engine_values({"architectures": ["LlamaForCausalLM"]})


def test_equal_values_in_other_words_are_no_difference() -> None:
    expected = {
        "kv_cache_type": "paged",
        "use_paged_context_fmha": "enable",
        "gemm_plugin": "disable",
        "quant_algo": ("FP8",),
        "max_batch_size": 256,
    }
    assert differences(expected, engine_values(CONFIG)) == []


def test_what_differs_is_named_with_both_values() -> None:
    expected = {"max_batch_size": 512, "quant_algo": (None, "NO_QUANT"), "use_paged_context_fmha": "disable"}
    assert [str(difference) for difference in differences(expected, engine_values(CONFIG))] == [
        "max_batch_size is 256, the spec says 512",
        "quant_algo is FP8, the spec says none or NO_QUANT",
        "use_paged_context_fmha is true, the spec says disable",
    ]


def test_what_is_left_to_the_tool_or_not_told_is_no_difference() -> None:
    expected = {"gemm_plugin": "auto", "opt_num_tokens": None, "reduce_fusion": "enable"}
    assert differences(expected, engine_values(CONFIG)) == []
    assert not_compared(expected, engine_values(CONFIG)) == ["reduce_fusion"]


def test_a_spec_of_ours_says_what_its_server_is_asked_for() -> None:
    values = expected_values(load_engine("cpu-tiny").spec)
    assert values["max_batch_size"] == 16
    assert values["threads"] == 1
