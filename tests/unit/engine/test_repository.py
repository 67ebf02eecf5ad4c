"""Model repositories: every placeholder is filled, and every variable is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.engine.cpu import CpuSettings
from harness.engine.load import load_engine
from harness.engine.repository import RepositoryPaths, fill, read_templates, render, variables_by_model
from harness.errors import UsageError

PATHS = RepositoryPaths(Path("/srv/server"), Path("/srv/model"), Path("/srv/engine.sock"))


@pytest.mark.parametrize("name", ["cpu-tiny", "cpu-tiny-llmapi"])
def test_the_shipped_templates_and_the_variables_account_for_each_other(name: str) -> None:
    spec = load_engine(name).spec
    files = render(spec, PATHS, read_templates(spec))
    assert files.keys() == {f"{model}/{file}" for model in spec.models for file in ("config.pbtxt", "1/model.py")}
    for model in spec.models:
        assert b"${" not in files[f"{model}/config.pbtxt"]


@pytest.mark.parametrize("name", ["cpu-tiny", "cpu-tiny-llmapi"])
def test_every_setting_of_the_spec_reaches_a_configuration(name: str) -> None:
    by_model = variables_by_model(load_engine(name).spec, PATHS)
    only_classic = set() if "tensorrt_llm_bls" in by_model else {"accumulate_tokens"}
    assert CpuSettings.model_fields.keys() - only_classic <= set().union(*by_model.values())


def test_a_changed_setting_changes_the_rendered_configuration() -> None:
    spec = load_engine("cpu-tiny").spec
    templates = read_templates(spec)
    changed = spec.model_copy(update={"settings": spec.settings.model_copy(update={"max_num_tokens": 499})})
    before, after = (render(each, PATHS, templates)["tensorrt_llm/config.pbtxt"].decode() for each in (spec, changed))
    assert '"512"' in before
    assert re.sub('"499"', '"512"', after) == before
    assert after != before


def test_other_files_are_copied_as_they_are() -> None:
    spec = load_engine("cpu-tiny").spec
    templates = read_templates(spec)
    files = render(spec, PATHS, templates)
    assert files["ensemble/1/model.py"] == templates["ensemble/1/model.py"]


def test_a_placeholder_that_nothing_fills_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"m/config.pbtxt: nothing fills \$\{typo\}"):
        fill("m/config.pbtxt", b"a: ${typo}", {})


def test_a_variable_that_no_template_uses_is_an_error() -> None:
    with pytest.raises(UsageError, match="does not use threads"):
        fill("m/config.pbtxt", b"a: 1", {"threads": "1"})


def test_a_lone_dollar_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"lone \$"):
        fill("m/config.pbtxt", b"a: $ 1", {})


def test_truth_values_are_written_as_tensorrt_llm_reads_them() -> None:
    assert variables_by_model(load_engine("cpu-tiny").spec, PATHS)["tensorrt_llm"]["enable_chunked_context"] == "true"


def test_a_path_with_a_quote_cannot_break_the_configuration() -> None:
    paths = RepositoryPaths(Path('/srv/a"b\\c'), PATHS.model_dir, PATHS.socket_path)
    assert variables_by_model(load_engine("cpu-tiny").spec, paths)["ensemble"]["server_dir"] == '/srv/a\\"b\\\\c'
