"""Every setting that the facts name is a field with the facts' default, or is refused by name with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from harness.engine.classic_build import NOT_BUILT, Build
from harness.engine.classic_checkpoint import NOT_QUANTIZED, Quantization
from harness.engine.classic_serving import NOT_SERVED, ClassicServing
from harness.engine.llm_arguments import (
    NOT_AN_ARGUMENT,
    NOT_OF_CACHE,
    NOT_OF_SCHEDULER,
    CudaGraphConfig,
    KvCacheConfig,
    LlmArguments,
    SchedulerConfig,
)
from harness.engine.llmapi import NOT_A_FLAG, NOT_OF_TRITON, ServerOptions, TritonOfLlmApi
from tests.oracle import trtllm_settings as facts

PLACES: list[tuple[type[BaseModel], str, Mapping[str, str]]] = [
    (ClassicServing, facts.SERVING, NOT_SERVED),
    (Build, facts.BUILD, NOT_BUILT),
    (Quantization, facts.QUANTIZE, NOT_QUANTIZED),
    (LlmArguments, facts.LLM, NOT_AN_ARGUMENT),
    (KvCacheConfig, facts.KV_CACHE, NOT_OF_CACHE),
    (SchedulerConfig, facts.SCHEDULER, NOT_OF_SCHEDULER),
    (CudaGraphConfig, facts.CUDA_GRAPHS, {}),
    (ServerOptions, facts.SERVE, NOT_A_FLAG),
]
IDS = [model.__name__ for model, _, _ in PLACES]
OTHER_DEFAULT = {"exclude_input_in_output": True}  # on purpose, and said in its description


@pytest.mark.parametrize(("model", "named", "refused"), PLACES, ids=IDS)
def test_every_setting_of_the_facts_is_a_field_or_refused_by_name(
    model: type[BaseModel], named: str, refused: Mapping[str, str]
) -> None:
    assert set(facts.settings(named)) - set(model.model_fields) - set(refused) == set()
    assert set(model.model_fields) & set(refused) == set(), "what is refused is no field"


@pytest.mark.parametrize(("model", "named", "refused"), PLACES, ids=IDS)
def test_every_default_is_that_of_the_facts(model: type[BaseModel], named: str, refused: Mapping[str, str]) -> None:
    defaults = {name: field.default for name, field in model.model_fields.items()}
    expected = {n: d for n, d in facts.settings(named).items() if d is not None and n in defaults}
    assert expected or model in (SchedulerConfig, ServerOptions)
    found = {name: defaults[name] for name in expected if defaults[name] is not PydanticUndefined}
    differ = {name: value for name, value in found.items() if written(value) != expected[name]}
    assert differ == {name: value for name, value in OTHER_DEFAULT.items() if name in expected}


def written(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("model", "refused"), [*((m, r) for m, _, r in PLACES if r), (TritonOfLlmApi, NOT_OF_TRITON)])
def test_each_refused_name_is_told_with_its_reason(model: type[BaseModel], refused: Mapping[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(dict.fromkeys(refused, "x"))
    told = [error["ctx"]["message"] for error in caught.value.errors() if error["type"] == "mistake"]
    assert told == [f"cannot be set here: {reason}" for reason in refused.values()]
