"""Which kind of model it is, and which inputs it gets, is read from its tensors."""

from __future__ import annotations

import pytest

from harness.protocols.contract import ModelContract, check

LLMAPI = ModelContract(
    "tensorrt_llm",
    {
        "text_input": "BYTES",
        "streaming": "BOOL",
        "sampling_param_max_tokens": "INT32",
        "sampling_param_exclude_input_from_output": "BOOL",
        "sampling_param_return_perf_metrics": "BOOL",
        "sampling_param_seed": "UINT64",
    },
    batched=False,
)
OLD = ModelContract("ensemble", {"text_input": "BYTES", "max_tokens": "INT32", "stream": "BOOL", "min_length": "INT32"})


def test_the_llm_api_model_is_told_from_the_classic_one_of_the_same_name() -> None:
    check(LLMAPI)
    assert LLMAPI.kind == "llmapi"
    assert LLMAPI.length_inputs == ("sampling_param_max_tokens",)
    assert LLMAPI.constants(streamed=True) == {
        "streaming": True,
        "sampling_param_exclude_input_from_output": True,
        "sampling_param_return_perf_metrics": True,
    }
    assert not LLMAPI.counts_tokens


@pytest.mark.parametrize("name", ["min_length", "min_tokens"])
def test_without_an_end_token_to_switch_off_the_least_length_pins_the_answer(name: str) -> None:
    inputs = {"text_input": "BYTES", "max_tokens": "INT32", name: "INT32"}
    assert ModelContract("m", inputs).length_inputs == ("max_tokens", name)
    assert ModelContract("m", inputs | {"end_id": "INT32"}).length_inputs == ("max_tokens",)


def test_a_request_that_does_not_stream_says_so() -> None:
    assert OLD.constants(streamed=False) == {"stream": False}
