"""`run` and `sweep` send each other's scenarios and folders where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.run_command import run
from harness.cli.scenario_commands import validate
from harness.cli.sweep_command import sweep
from harness.errors import Ending, UsageError
from harness.resources import find_named


def test_run_refuses_vary_and_names_sweep(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="varies settings") as caught:
        CliRunner().invoke(run, ["batch-sweep", "--runs", str(tmp_path)], catch_exceptions=False)
    assert "harness sweep" in str(caught.value)
    assert caught.value.ending is Ending.USAGE
    assert not list(tmp_path.iterdir())


def test_sweep_refuses_a_scenario_that_varies_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no `vary`"):
        CliRunner().invoke(sweep, ["quickstart", "--runs", str(tmp_path)], catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_sweep_wants_a_scenario_or_a_folder() -> None:
    with pytest.raises(UsageError, match="name a scenario"):
        CliRunner().invoke(sweep, [], catch_exceptions=False)


def test_validate_finds_a_setting_that_the_engine_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "typo.yaml"
    text = Path(find_named("scenarios", "batch-sweep")).read_text()
    file.write_text(text.replace("max_batch_size:", "max_batch_sise:"))
    found = CliRunner().invoke(validate, [str(file)])
    assert found.exit_code == Ending.USAGE.code
    assert "max_batch_sise" in found.output
