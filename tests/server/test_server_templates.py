"""The model-repository templates: exactly the variables of the launch contract, and a description of every setting."""

import re
import string
from pathlib import Path

import pytest
from settings import PLUMBING, Settings

REPOSITORIES = Path(__file__).resolve().parents[2] / "engines" / "repositories"
SHARED = {"server_dir", "socket_path", "cancellation_check_period_ms"}
BATCHED = SHARED | {"triton_max_batch_size"}
VARIABLES = {
    "cpu/ensemble": BATCHED | {"tokenizer_dir"},
    "cpu/tensorrt_llm": BATCHED | {"engine_dir"} | set(Settings.__dataclass_fields__),
    "cpu/tensorrt_llm_bls": BATCHED | {"tokenizer_dir", "accumulate_tokens"},
    "cpu-llmapi/tensorrt_llm": SHARED | {"engine_dir"} | set(Settings.__dataclass_fields__),
}


@pytest.mark.parametrize("model", sorted(VARIABLES))
def test_a_template_has_exactly_the_variables_of_the_contract(model: str) -> None:
    template = string.Template((REPOSITORIES / model / "config.pbtxt").read_text())
    assert set(template.get_identifiers()) == VARIABLES[model]
    assert template.is_valid()


@pytest.mark.parametrize("model", ["cpu/tensorrt_llm", "cpu-llmapi/tensorrt_llm"])
def test_every_parameter_of_the_engine_s_owner_is_a_setting_or_plumbing(model: str) -> None:
    text = (REPOSITORIES / model / "config.pbtxt").read_text()
    keys = set(re.findall(r'parameters { key: "(\w+)"', text))
    assert keys <= PLUMBING | set(Settings.__dataclass_fields__)
    assert keys == VARIABLES[model] - {"triton_max_batch_size"}
