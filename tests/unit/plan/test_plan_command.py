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


def with_load(scenario_file: Path, load: dict[str, object]) -> str:
    raw = yaml.safe_load(SCENARIO)
    raw["load"] = load
    scenario_file.write_text(yaml.safe_dump(raw))
    result = called(scenario_file)
    assert result.exit_code == 0
    return result.output


def test_an_open_loop_shows_rates_and_the_requests_expected(scenario_file: Path) -> None:
    arrivals = {"process": "constant", "request_rate_per_s": [1.0, 2.5]}
    shown = with_load(scenario_file, {"kind": "open_loop", "arrivals": arrivals, "concurrency_cap": 7})
    line = next(line for line in shown.splitlines() if line.startswith(" short-r2.5"))
    assert line.split()[:5] == ["short-r2.5", "2.5", "75", "388", "x"]  # 155 s, of which 30 s are the window
    assert "arrivals      constant" in shown
    assert "7 in flight; later arrivals wait in the client" in shown


def test_tenants_are_shown_with_their_arrivals_and_the_names_of_their_headers(
    scenario_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_TEST_KEY", "s3cret")
    arrivals = {"process": "constant", "request_rate_per_s": 2}
    tenants = [
        {"name": "gold", "arrivals": arrivals, "headers": {"x-api-key": "${HARNESS_TEST_KEY}"}},
        {"name": "bulk", "arrivals": {**arrivals}},
    ]
    shown = with_load(scenario_file, {"kind": "multi_tenant", "tenants": tenants})
    assert "x-api-key" in shown
    assert "s3cret" not in shown
    line = next(line for line in shown.splitlines() if " gold " in line)
    assert line.split()[:5] == ["short-tenants", "gold", "constant", "2", "60"]


def test_texts_of_a_file_are_counted_in_words_until_a_tokenizer_is_known(scenario_file: Path) -> None:
    raw = yaml.safe_load(SCENARIO)
    (scenario_file.parent / "p.jsonl").write_text('{"prompt": "one two three"}')
    prompts = {"kind": "from_file", "file": "p.jsonl"}
    raw["workload"][0] |= {"input_tokens": {"distribution": "recorded"}, "prompts": prompts}
    scenario_file.write_text(yaml.safe_dump(raw))
    shown = called(scenario_file).output
    assert "3 / 3 / 3" in shown
    assert "texts from files are counted in words here" in shown


def test_sessions_are_shown_with_their_turns(scenario_file: Path) -> None:
    raw = yaml.safe_load(SCENARIO)
    raw["workload"][0]["sessions"] = {"turns": 5, "new_input_tokens": 3, "think_time_s": 1.5}
    scenario_file.write_text(yaml.safe_dump(raw))
    assert "5 / 5 / 5" in called(scenario_file).output
