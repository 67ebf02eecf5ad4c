"""Settings carry TensorRT-LLM's names and are refused by name when they cannot be honoured."""

import pytest
from settings import RefusedSetting, Settings

GIVEN = {
    "max_batch_size": "8",
    "max_num_tokens": "256",
    "max_seq_len": "1024",
    "max_tokens_in_paged_kv_cache": "4096",
    "batch_scheduler_policy": "guaranteed_no_evict",
    "enable_kv_cache_reuse": "false",
    "enable_chunked_context": "true",
    "threads": "1",
    "library": "openvino",
    "device": "cpu",
    "dtype": "float16",
    "tokens_per_block": "32",
    "max_queue_size": "0",
}


def test_plumbing_parameters_are_not_settings() -> None:
    settings = Settings.parse({**GIVEN, "server_dir": "x", "socket_path": "y", "cancellation_check_period_ms": "100"})
    assert settings.max_batch_size == 8
    assert settings.enable_chunked_context
    assert not settings.enable_kv_cache_reuse


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_missing_or_unfilled_setting_is_named(name: str) -> None:
    for text in ("", "${" + name + "}", "nonsense"):
        with pytest.raises(RefusedSetting, match=name):
            Settings.parse({**GIVEN, name: text})
    with pytest.raises(RefusedSetting, match=name):
        Settings.parse({k: v for k, v in GIVEN.items() if k != name})


def test_a_setting_this_engine_does_not_know_is_named() -> None:
    with pytest.raises(RefusedSetting, match="sink_token_length"):
        Settings.parse({**GIVEN, "sink_token_length": "4"})


def test_a_batch_that_cannot_take_a_token_each_per_iteration_is_refused() -> None:
    with pytest.raises(RefusedSetting, match="max_num_tokens"):
        Settings.parse({**GIVEN, "max_num_tokens": "7"})


def test_max_utilization_without_chunks_needs_room_to_compute_a_paused_request_again() -> None:
    unchunked = {**GIVEN, "enable_chunked_context": "false", "batch_scheduler_policy": "max_utilization"}
    with pytest.raises(RefusedSetting, match="max_utilization without enable_chunked_context"):
        Settings.parse(unchunked)
    assert Settings.parse({**unchunked, "max_num_tokens": "1024"}).max_num_tokens == 1024


def test_the_cache_must_hold_one_request_to_its_end() -> None:
    settings = Settings.parse({**GIVEN, "max_tokens_in_paged_kv_cache": "1024"})
    settings.check_blocks(32)
    with pytest.raises(RefusedSetting, match=r"maxTokensInPagedKvCache \(1024\) must be large enough"):
        settings.check_blocks(100)


def test_the_longest_prompt_depends_on_chunking() -> None:
    assert Settings.parse(GIVEN).max_input_tokens == 1023
    assert Settings.parse({**GIVEN, "enable_chunked_context": "false"}).max_input_tokens == 256
