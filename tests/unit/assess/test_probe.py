"""Each objective of a probe is judged in its own way, and none is passed over."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.assess.probe import ProbeResult, judge_probe
from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict
from tests.oracle.folders import write_run

FIRST_MS = 0.9  # the rows' time to first token is 0.875 ms
SIZE = "size: {lowest: 1, highest: 8, mode: MODE}\n"


def _judge(
    tmp_path: Path, objectives: str, *, failures: int = 0, mode: str = "objectives", ended: str = "window_over"
) -> ProbeResult:
    folder = RunFolder.open(write_run(tmp_path / "run", failures=failures))
    manifest: Manifest = folder.manifest()
    text = manifest.scenario_text + SIZE.replace("MODE", mode) + f"objectives: [{objectives}]\n"
    scenario = read_strict(text, Scenario, Path("probe.yaml"))
    if ended != "window_over":
        stopped = [dataclasses.replace(m, ended=ended, message="9 requests in flight") for m in manifest.measurements]
        manifest = dataclasses.replace(manifest, measurements=stopped)
    return judge_probe(folder, manifest, scenario, manifest.points[0], 0.95)


def _first(statistic: str, limit_ms: float) -> str:
    return f"{{metric: time_to_first_token, statistic: {statistic}, at_most_ms: {limit_ms}}}"


def test_a_percentile_is_judged_by_the_test(tmp_path: Path) -> None:
    found = _judge(tmp_path, _first("p90", 2))
    assert (found.answer, found.requests) == ("held", 400)
    assert found.detail == "0 of 400 (worth 400) over time_to_first_token p90"


def test_too_few_requests_for_a_p999_say_how_many_would_do(tmp_path: Path) -> None:
    found = _judge(tmp_path, _first("p999", 10))
    assert found.answer == "undecided"
    assert found.enough == 3200  # 2,995 are needed without one over; whole multiples of 400
    assert _judge(tmp_path / "again", _first("p90", 10)).enough is None


@pytest.mark.parametrize(
    ("objective", "failures", "answer"),
    [
        ("{metric: error_ratio, at_most_ratio: 0.01}", 0, "held"),
        ("{metric: error_ratio, at_most_ratio: 0.01}", 8, "lost"),
        ("{metric: output_token_throughput, at_least_per_s: 100}", 0, "held"),
        ("{metric: output_token_throughput, at_least_per_s: 100000}", 0, "lost"),
        (_first("mean", 2), 0, "held"),
        (_first("mean", 0.1), 0, "lost"),
        (_first("max", 0.1), 0, "lost"),
    ],
)
def test_what_is_no_percentile_decides_too(tmp_path: Path, objective: str, failures: int, answer: str) -> None:
    found = _judge(tmp_path, f"{_first('p50', 5)}, {objective}", failures=failures)
    assert found.answer == answer, found.detail


def test_a_mean_with_failures_in_it_cannot_be_said_to_hold(tmp_path: Path) -> None:
    assert _judge(tmp_path, f"{_first('p50', 5)}, {_first('mean', 5)}", failures=4).answer == "undecided"


def test_a_bound_on_single_requests_decides_nothing(tmp_path: Path) -> None:
    each = "{metric: request_latency, at_most_ms: 0.001}"
    found = _judge(tmp_path, f"{_first('p90', 5)}, {each}")
    assert (found.answer, found.goodput) == ("held", 0.0)


def test_a_stopped_probe_is_lost_and_says_by_which_rule(tmp_path: Path) -> None:
    found = _judge(tmp_path, _first("p90", 5), ended="stopped_saturated")
    assert (found.answer, found.detail) == ("lost", "stopped: 9 requests in flight")


@pytest.mark.parametrize("mode", ["throughput", "latency"])
def test_other_modes_look_at_no_objective(tmp_path: Path, mode: str) -> None:
    found = _judge(tmp_path, _first("p90", 0.001), mode=mode)
    assert found.answer == "held"
    assert found.output_token_throughput
    assert found.per_user


def test_without_any_answer_a_probe_is_lost(tmp_path: Path) -> None:
    found = _judge(tmp_path, _first("p90", 5), failures=400)
    assert (found.answer, found.detail) == ("lost", "no request ended well")
