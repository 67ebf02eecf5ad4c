"""`harness gate objectives`: objectives judged by tests. Counts against MLPerf's table, false passes by simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.analysis.early_stopping import judge, requests_needed
from harness.analysis.objective_counts import Counted, enough, judge_counts
from harness.cli.main import main
from harness.gate.objectives import Evidence, judge_objectives
from harness.metrics.bounds import bound_from
from tests.oracle import queue
from tests.oracle.folders import write_run

TTFT = bound_from("time_to_first_token", "at_most_ms", 500)
RATE = bound_from("request_throughput", "at_least_per_s", 10)


def _status(*evidence: Evidence, invalid: tuple[str, ...] = ()) -> str:
    return judge_objectives(evidence, invalid, scenario="s", run="r").status


def _percentile(over: int, n: int, factor: float = 1.0, statistic: str = "p99", **more: bool) -> Evidence:
    return Evidence("p", TTFT, statistic, [Counted(over, n, factor)], [1.0], **more)


def _values(*values: float | None) -> Evidence:
    return Evidence("p", RATE, None, [], values)


@pytest.mark.parametrize(("over", "needed"), [(0, 459), (1, 662), (2, 838), (10, 2010), (100, 12571)])
def test_the_requests_needed_are_those_of_mlperf(over: int, needed: int) -> None:
    assert requests_needed(over, 0.99, 0.99) == needed
    assert _status(_percentile(over, needed)) == "PASS"
    assert _status(_percentile(over, needed - 1)) == "INCONCLUSIVE"


def test_clustered_requests_are_worth_fewer_and_repetitions_are_added() -> None:
    assert _status(_percentile(0, 459, factor=1.5)) == "INCONCLUSIVE"
    twice = Evidence("p", TTFT, "p99", [Counted(0, 230), Counted(0, 230)], [1.0, 1.0])
    assert _status(twice) == "PASS"
    assert enough([Counted(0, 230)], 0.99, 0.99) == 460
    assert enough([Counted(1, 100)], 0.99, 0.99) is None, "exactly at the limit no number decides"


def test_a_percentile_that_is_surely_over_its_limit_fails() -> None:
    assert _status(_percentile(40, 400, statistic="p95")) == "FAIL"
    assert _status(_percentile(20, 400, statistic="p95")) == "INCONCLUSIVE"


def test_missing_data_is_never_a_pass_and_no_success_is_a_failure() -> None:
    assert _status(_percentile(0, 0)) == "INCONCLUSIVE"
    assert _status(_values(None, 12.0, 12.0)) == "INCONCLUSIVE"
    assert _status() == "INCONCLUSIVE"
    assert _status(_percentile(400, 400, any_ok=False)) == "FAIL"
    assert _status(_percentile(0, 9999, saturated=True)) == "FAIL"


def test_other_objectives_need_three_repetitions_and_their_bound() -> None:
    assert _status(_values(12.0, 12.1)) == "INCONCLUSIVE"
    assert _status(_values(12.0, 12.1, 12.05)) == "PASS"
    assert _status(_values(8.0, 8.1, 8.05)) == "FAIL"
    assert _status(_values(9.0, 10.1, 11.3)) == "INCONCLUSIVE"
    assert _status(_values(10.0, 10.0, 10.0)) == "PASS", "a limit that is kept exactly is kept"


def test_a_mean_with_failed_requests_in_it_never_passes() -> None:
    fast = Evidence("p", TTFT, "mean", [], [2e6, 2e6, 2e6], censored=True)
    assert _status(fast) == "INCONCLUSIVE"
    assert _status(Evidence("p", TTFT, "mean", [], [2e6, 2e6, 2e6])) == "PASS"
    slow = Evidence("p", TTFT, "mean", [], [6e8, 6.1e8, 6.2e8], censored=True)
    assert _status(slow) == "FAIL", "a lower bound beyond the limit is enough"


def test_one_failure_fails_and_an_invalid_point_comes_first() -> None:
    good, bad = _percentile(0, 5000), _percentile(500, 5000)
    assert _status(good, good) == "PASS"
    assert _status(good, bad) == "FAIL"
    assert _status(good, bad, invalid=("p is INVALID: frozen",)) == "INVALID"


def test_the_interval_lies_below_zero_exactly_when_the_objective_holds() -> None:
    for over, n in [(0, 458), (0, 459), (3, 900), (3, 1100), (30, 2000), (60, 2000)]:
        (metric,) = judge_objectives([_percentile(over, n)], (), scenario="s", run="r").metrics
        assert metric.high is not None
        assert metric.low is not None
        assert (metric.high < 0) == (metric.status == "PASS")
        assert (metric.low > 0) == (metric.status == "FAIL")


def test_at_the_edge_of_independent_requests_it_passes_no_oftener_than_it_promises() -> None:
    over = np.random.default_rng(5).binomial(2000, 0.01, 4000)
    passed = np.mean([judge(int(count), 2000, 0.99, 0.99) == "held" for count in over])
    assert passed <= 0.015
    inside = np.random.default_rng(6).binomial(5000, 0.004, 500)
    assert np.mean([judge(int(count), 5000, 0.99, 0.99) == "held" for count in inside]) > 0.95


def test_behind_one_queue_clusters_are_seen_and_false_passes_stay_rare() -> None:
    """At the edge of an M/D/1 queue the plain test passes 10 to 30% of the windows instead of 1%."""
    from harness.analysis.clustering import clustering

    limit = 2.0
    edge = queue.optimum(lambda rate: queue.over_md1(rate, 1.0, limit), 1.0, 0.9)
    plain = honest = 0
    for seed in range(60):
        waits = queue.waits(seed, edge, 1.0, 1, 800, "fixed")
        over = waits > limit
        plain += judge(int(over.sum()), over.size, 0.9, 0.99) == "held"
        counts = [Counted(int(over.sum()), over.size, clustering(waits, over, 0.9))]
        honest += judge_counts(counts, 0.9, 0.99) == "held"
    assert honest < plain
    assert honest <= 4


OBJECTIVES = "objectives: [{metric: time_to_first_token, statistic: p90, at_most_ms: %s}]\n"


@pytest.mark.parametrize(("limit_ms", "code", "status"), [("1000", 0, "PASS"), ("0.0001", 1, "FAIL")])
def test_the_command_judges_a_run_folder(
    limit_ms: str, code: int, status: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", objectives=OBJECTIVES % limit_ms)
    with pytest.raises(SystemExit) as ended:
        main(["gate", "objectives", str(run), "--output", str(tmp_path / "out")])
    assert ended.value.code == code
    assert status in capsys.readouterr().out
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert verdict["status"] == status
    assert verdict["gate"] == "objectives"


def test_a_run_in_which_every_request_failed_is_a_failure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", failures=400, objectives=OBJECTIVES % "1000")
    with pytest.raises(SystemExit) as ended:
        main(["gate", "objectives", str(run)])
    assert ended.value.code == 1


def test_a_mean_over_failures_does_not_pass_through_the_command(tmp_path: Path) -> None:
    mean = "objectives: [{metric: time_to_first_token, statistic: mean, at_most_ms: 1000}]\n"
    run = write_run(tmp_path / "run", failures=120, objectives=mean)
    with pytest.raises(SystemExit) as ended:
        main(["gate", "objectives", str(run)])
    assert ended.value.code == 4


def test_a_scenario_without_objectives_is_told_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(SystemExit) as ended:
        main(["gate", "objectives", str(run)])
    assert ended.value.code == 2
    assert "at_most_ms" in capsys.readouterr().err
