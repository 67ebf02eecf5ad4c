"""The `size` block: what a person reads when it cannot be searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.plan_command import plan
from harness.cli.size_command import size
from harness.errors import ScenarioError, UsageError
from harness.scenario.loader import load

BASE = """\
version: 1
name: base
target: {engine: cpu-tiny}
workload: {input_tokens: 64, output_tokens: 8}
load:
  {kind: open_loop, arrivals: {process: poisson, request_rate_per_s: 4}}
size:
  lowest: 1
  highest: 64
objectives:
  - {metric: time_to_first_token, statistic: p90, at_most_ms: 500}
"""
CLOSED = "{kind: closed_loop, concurrency: [1]}"
OPEN = "{kind: open_loop, arrivals: {process: poisson, request_rate_per_s: 4}}"

ONE_CHANGE = {
    "a range that is none": ("highest: 64", "highest: 1", "9:12: size.highest: must be above size.lowest (1)"),
    "a misspelt key": ("highest: 64", "highest: 64\n  resolutoin: 0.1", "did you mean `resolution`?"),
    "no percentile to test": ("statistic: p90", "statistic: mean", "7:1: size: needs an objective with a percentile"),
    "half a request in flight": (f"{OPEN}\nsize:\n  lowest: 1", f"{CLOSED}\nsize:\n  lowest: 1.5", "whole numbers"),
    "no confidence": ("highest: 64", "highest: 64\n  confidence: 0.4", "10:15: size.confidence: found 0.4"),
    "a load without a rate": (
        OPEN,
        "{kind: open_loop, arrivals: {process: ramp, from_request_rate_per_s: 1, to_request_rate_per_s: 4}}",
        "needs a closed loop, or arrivals with a request_rate_per_s",
    ),
    "two workloads": (
        "workload: {input_tokens: 64, output_tokens: 8}",
        "workload: [{name: a, input_tokens: 64, output_tokens: 8}, {name: b, input_tokens: 6, output_tokens: 8}]",
        "searches for one workload",
    ),
}


@pytest.mark.parametrize("kind", ONE_CHANGE)
def test_each_mistake_names_line_and_field(tmp_path: Path, kind: str) -> None:
    old, new, said = ONE_CHANGE[kind]
    assert old in BASE
    (tmp_path / "base.yaml").write_text(BASE.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path / "base.yaml")
    assert said in str(caught.value)


def test_without_objectives_only_the_other_modes_can_be_searched(tmp_path: Path) -> None:
    text = BASE[: BASE.index("objectives")]
    (tmp_path / "base.yaml").write_text(text)
    with pytest.raises(ScenarioError, match="needs an objective"):
        load(tmp_path / "base.yaml")
    for mode in ("throughput", "latency"):
        (tmp_path / "base.yaml").write_text(text.replace("highest: 64", f"highest: 64\n  mode: {mode}"))
        assert load(tmp_path / "base.yaml").scenario.size is not None


def test_size_wants_a_scenario_or_a_folder_and_a_size_block(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a scenario to size"):
        CliRunner().invoke(size, [], catch_exceptions=False)
    with pytest.raises(UsageError, match="has no `size` block"):
        CliRunner().invoke(size, ["quickstart", "--runs", str(tmp_path)], catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_plan_says_what_is_searched_and_about_how_long_it_takes() -> None:
    found = CliRunner().invoke(plan, ["size-cpu"])
    assert found.exit_code == 0, found.output
    for text in (
        "4 to 256 requests/s, to within 15%",
        "max_batch_size 4",
        "max_batch_size 16",
        "4 min 38 s, and up to",
    ):
        assert text in found.output
    assert "at least 116 requests" in found.output
