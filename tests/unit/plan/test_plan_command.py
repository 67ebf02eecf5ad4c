"""`harness plan` shows what would run and starts nothing."""

from __future__ import annotations

import csv
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from harness.cli.plan_command import plan
from harness.errors import UsageError

SCENARIO = """
version: 1
name: trial
target: {attach: {url: "127.0.0.1:1", model: ensemble}}
repetitions: 2
workload:
  - {name: short, input_tokens: 16, output_tokens: 8}
  - name: shared
    input_tokens: {distribution: uniform, min_tokens: 600, max_tokens: 900}
    output_tokens: 16
    prompts: {kind: shared_prefix, prefixes: 4, prefix_tokens: 512}
load: {kind: closed_loop, concurrency: [1, 4], max_requests: 50}
"""


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    path = tmp_path / "trial.yaml"
    path.write_text(SCENARIO)
    return path


def called(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(plan, [str(each) for each in arguments], catch_exceptions=False)


def test_it_names_target_points_lengths_order_seeds_and_duration(scenario_file: Path) -> None:
    result = called(scenario_file)
    assert result.exit_code == 0
    for point in ("short-c1", "short-c4", "shared-c1", "shared-c4"):
        assert f" {point} " in result.output
    assert "must be running" in result.output
    assert "50 x 2" in result.output
    assert "16 / 16 / 16" in result.output
    assert "lengths e98f848f" in result.output
    assert "duration      about" in result.output
    order = next(line for line in result.output.splitlines() if line.startswith("order"))
    assert order.count("→") == 7


def test_the_csv_has_every_planned_request(scenario_file: Path, tmp_path: Path) -> None:
    assert called(scenario_file, "--csv", tmp_path / "plan.csv").exit_code == 0
    with (tmp_path / "plan.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2 * 50
    assert {row["input_tokens"] for row in rows if row["point_id"] == "short-c4"} == {"16"}
    assert all(int(row["prefix_ids"]) >> 32 == 512 for row in rows if row["point_id"] == "shared-c1")


def test_nothing_is_started_and_no_connection_opened(scenario_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("harness plan reached out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert called(scenario_file).exit_code == 0


def test_a_csv_that_cannot_be_written_is_a_usage_error(scenario_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        called(scenario_file, "--csv", tmp_path / "missing" / "plan.csv")


def test_an_open_loop_is_refused(scenario_file: Path) -> None:
    raw = yaml.safe_load(SCENARIO)
    raw["load"] = {"kind": "open_loop", "arrivals": {"process": "constant", "request_rate_per_s": 1.0}}
    scenario_file.write_text(yaml.safe_dump(raw))
    with pytest.raises(UsageError, match="open_loop"):
        called(scenario_file)
