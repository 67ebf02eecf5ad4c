"""`harness gate pair`, `aa` and `plan` where nothing needs to be started: what is missing, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.campaigns.pair_requests import aa_request, gate_request
from harness.cli.gate_aa_command import aa
from harness.cli.gate_pair_command import pair
from harness.cli.gate_pairs_outcome import read_testbed
from harness.cli.plan_command import plan
from harness.errors import UsageError
from harness.gate.pairs import BASELINE, CANDIDATE
from harness.resources import find_named
from harness.scenario import loader


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (pair, [], "needs a scenario, --baseline and --candidate"),
        (pair, ["gate-smoke", "--baseline=cpu-tiny"], "needs a scenario, --baseline and --candidate"),
        (pair, ["gate-smoke", "--baseline=cpu-tiny", "--candidate=cpu-tinny"], "no engine named 'cpu-tinny'"),
        (pair, ["--resume", "nowhere"], "no such run folder"),
        (aa, [], "name a scenario, or a folder with --resume"),
        (aa, ["gate-smoke", "--into", "nowhere.json"], "nowhere.json: no such baseline"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(command, arguments: list[str], words: str) -> None:  # type: ignore[no-untyped-def]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)


def test_a_gate_asks_for_its_looks_and_some_spare_pairs_and_aa_for_its_number() -> None:
    loaded = loader.load(find_named("scenarios", "gate-smoke"))
    gate = gate_request(loaded, {BASELINE: "cpu-tiny", CANDIDATE: "cpu-small"}, Path("runs"), ["harness"])
    assert (gate.rule.looks, gate.planned_pairs, gate.time_budget_s) == ((6, 10, 16), 24, 600)
    same = aa_request(loaded, 24, Path("runs"), ["harness"])
    assert (same.rule.looks, same.planned_pairs) == ((24,), 36)
    assert same.targets[BASELINE] == same.targets[CANDIDATE]


def test_a_plan_shows_what_the_gate_would_judge_and_what_it_could_not(tmp_path: Path) -> None:
    scenario = tmp_path / "few.yaml"
    scenario.write_text(
        "version: 1\nname: few\ntarget: {engine: cpu-tiny}\nworkload: {input_tokens: 16, output_tokens: 8}\n"
        "load: {kind: open_loop, arrivals: {process: constant, request_rate_per_s: [1, 2]}}\n"
        "phases: {window_s: 10}\nrequest: {timeout_s: 5}\n"
    )
    without = CliRunner().invoke(plan, [str(scenario)]).output
    assert "gate pair" not in without
    with scenario.open("a") as file:
        file.write("gate: {looks: [6, 10]}\n")
    assert "a gate judges one point, and few has 2: all-r1, all-r2" in CliRunner().invoke(plan, [str(scenario)]).output
    scenario.write_text(scenario.read_text().replace("looks: [6, 10]", "looks: [6, 10], point: all-r2"))
    shown = CliRunner().invoke(plan, [str(scenario)]).output
    assert "would judge all-r2 after 6, 10 pairs" in shown
    assert "p95 of time_to_first_token needs 72 requests in the window, 20 are planned" in shown


def test_a_testbed_is_one_of_gate_aa(tmp_path: Path) -> None:
    file = tmp_path / "testbed.json"
    for text in ("{", "[]", json.dumps({"something": 1})):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"is no testbed\.json"):
            read_testbed(file)
    with pytest.raises(UsageError, match="cannot be read"):
        read_testbed(tmp_path / "absent.json")
    file.write_text(json.dumps({"pairs": 24}))
    assert read_testbed(file) == {"pairs": 24}
