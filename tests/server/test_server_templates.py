"""The model-repository templates: exactly the variables of the launch contract, and a description of every setting."""

import re
import string
from pathlib import Path

import pytest
from settings import PLUMBING, Settings

REPOSITORY = Path(__file__).resolve().parents[2] / "engines" / "repositories" / "cpu"
SHARED = {"triton_max_batch_size", "server_dir", "socket_path", "cancellation_check_period_ms"}
VARIABLES = {
    "ensemble": SHARED | {"tokenizer_dir"},
    "tensorrt_llm": SHARED | {"engine_dir"} | set(Settings.__dataclass_fields__),
}


@pytest.mark.parametrize("model", sorted(VARIABLES))
def test_a_template_has_exactly_the_variables_of_the_contract(model: str) -> None:
    template = string.Template((REPOSITORY / model / "config.pbtxt").read_text())
    assert set(template.get_identifiers()) == VARIABLES[model]
    assert template.is_valid()


def test_every_parameter_of_the_token_model_is_a_setting_or_plumbing() -> None:
    text = (REPOSITORY / "tensorrt_llm" / "config.pbtxt").read_text()
    keys = set(re.findall(r'parameters { key: "(\w+)"', text))
    assert keys <= PLUMBING | set(Settings.__dataclass_fields__)
    assert keys == VARIABLES["tensorrt_llm"] - {"triton_max_batch_size"}
