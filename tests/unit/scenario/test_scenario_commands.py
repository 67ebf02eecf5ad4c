"""validate, schema, init: as a person runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.scenario_commands import init, schema, validate
from harness.errors import UsageError
from harness.resources import find_named, names
from harness.scenario import json_schema
from harness.scenario.loader import load


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("empty_folder")
def test_validate_says_ok_with_the_number_of_points() -> None:
    result = CliRunner().invoke(validate, ["quickstart", "smoke"])
    first, second = result.stdout.splitlines()
    assert first.startswith("ok  ")
    assert first.endswith("quickstart.yaml: 8 points, at least 60 s under load")
    assert "smoke.yaml" in second
    assert result.exit_code == 0


def test_validate_goes_on_after_a_mistake_and_ends_with_2(empty_folder: Path) -> None:
    (empty_folder / "bad.yaml").write_text("version: 1\nname: bad\n")
    result = CliRunner().invoke(validate, ["bad.yaml", "quckstart", "smoke"])
    assert result.exit_code == 2
    assert "smoke.yaml" in result.stdout
    assert "bad.yaml:1:1: target: `target` is missing" in result.stderr
    assert "did you mean `quickstart`?" in result.stderr


def test_a_name_in_the_folder_of_the_user_comes_first(empty_folder: Path) -> None:
    CliRunner().invoke(init, [])
    assert find_named("scenarios", "smoke") == Path("scenarios/smoke.yaml")
    assert CliRunner().invoke(validate, ["smoke"]).stdout.startswith("ok  scenarios/smoke.yaml:")


@pytest.mark.usefixtures("empty_folder")
def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError) as caught:
        find_named("engines", "cpu-tny")
    assert caught.value.message == "there is no engine named 'cpu-tny'"
    assert caught.value.hint == f"did you mean `cpu-tiny`? known: {', '.join(names('engines'))}"


def test_schema_prints_the_json_schema_and_check_compares_it() -> None:
    assert CliRunner().invoke(schema, []).stdout == json_schema.text()
    assert CliRunner().invoke(schema, ["--check"]).exit_code == 0


def test_init_lays_out_valid_scenarios_and_engines(empty_folder: Path) -> None:
    result = CliRunner().invoke(init, ["own"])
    assert result.exit_code == 0
    own = empty_folder / "own"
    assert (own / "baselines").is_dir()
    assert (own / "engines" / "cpu-tiny.yaml").is_file()
    assert (own / "pipelines" / "gitlab-ci.yml").is_file()
    files = sorted((own / "scenarios").glob("*.yaml"))
    assert len(files) >= 6
    for file in files:
        assert load(file).scenario.name == file.stem
    assert (own / "README.md").read_text().count("    harness ") == 3


def test_init_overwrites_nothing(empty_folder: Path) -> None:
    (empty_folder / "scenarios").mkdir()
    (empty_folder / "scenarios" / "smoke.yaml").write_text("mine")
    (empty_folder / "README.md").write_text("mine too")
    result = CliRunner().invoke(init, [])
    assert "2 existing ones left as they are" in result.stdout
    assert (empty_folder / "scenarios" / "smoke.yaml").read_text() == "mine"
    assert (empty_folder / "README.md").read_text() == "mine too"
    assert (empty_folder / "scenarios" / "quickstart.yaml").is_file()
