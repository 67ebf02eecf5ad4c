"""Serving settings out of model configurations."""

from __future__ import annotations

from harness.target.triton_settings import settings_of

ENGINE = {
    "max_batch_size": 64,
    "model_transaction_policy": {"decoupled": True},
    "parameters": {
        "max_tokens_in_paged_kv_cache": {"string_value": "16384"},
        "kv_cache_free_gpu_mem_fraction": {"string_value": "0.9"},
        "enable_chunked_context": {"string_value": "True"},
        "batch_scheduler_policy": {"string_value": "max_utilization"},
        "decoding_mode": {"string_value": "${decoding_mode}"},
        "max_beam_width": {"string_value": ""},
        "gpt_model_path": {"string_value": "/engines/1"},
    },
}


def test_parameters_become_numbers_and_truth_values_and_unfilled_ones_are_not_said() -> None:
    settings = settings_of({"ensemble": {"max_batch_size": 8}, "tensorrt_llm": ENGINE}, "ensemble")
    assert settings == {
        "max_tokens_in_paged_kv_cache": 16384,
        "kv_cache_free_gpu_mem_fraction": 0.9,
        "enable_chunked_context": True,
        "batch_scheduler_policy": "max_utilization",
        "triton_max_batch_size": 8,
    }


def test_the_model_asked_says_whether_it_is_decoupled() -> None:
    assert settings_of({"tensorrt_llm": ENGINE}, "tensorrt_llm")["decoupled"] is True


def test_no_configuration_says_nothing() -> None:
    assert settings_of({}, "ensemble") == {}
