"""The perf_analyzer driver with the real tool, against a truth server that logs what it really sent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import perf_analyzer_tool
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import truth_target

from harness.drivers import task as tasks
from harness.drivers.perf_analyzer import driver as drivers
from harness.drivers.perf_analyzer import install
from harness.drivers.perf_analyzer.driver import PerfAnalyzerDriver
from harness.drivers.task import Event, Finished, MeasurementTask
from harness.errors import DriverFailed, UsageError
from harness.records.schemas import PLAN
from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import SentRequest

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.03, inter_token_s=0.005, jitter_s=0.002)
GAP_NS = 5_000_000


@pytest.fixture(scope="module")
def tool() -> install.Tool:
    return perf_analyzer_tool.tool_or_skip()


@pytest.fixture
def driver(tool: install.Tool, tmp_path: Path) -> Iterator[PerfAnalyzerDriver]:
    with PerfAnalyzerDriver(tmp_path / "driver.log") as driver:
        yield driver


def _rows(folder: Path) -> list[dict[str, Any]]:
    RunFolder(folder).merge_requests([])
    rows: list[dict[str, Any]] = pq.read_table(folder / "requests.parquet").to_pylist()
    assert rows, "an empty run proves nothing"
    return rows


def _finished(events: Sequence[Event]) -> Finished:
    assert [event.kind for event in events] == [tasks.READY, tasks.FINISHED], events
    return Finished.from_facts(events[-1].facts)


def _measure(driver: Any, task: MeasurementTask) -> list[Event]:
    return truth_target.execute(driver, task)


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm"])
@pytest.mark.parametrize("final_flag", ["on_last", "separate"])
def test_records_agree_with_what_the_server_logged(
    driver: PerfAnalyzerDriver, tmp_path: Path, model: str, final_flag: Any
) -> None:
    inputs = truth_target.TEXT_INPUTS if model == "ensemble" else truth_target.ID_INPUTS
    behaviour = Behaviour(time_to_first_token_s=0.03, inter_token_s=0.005, jitter_s=0.002, final_flag=final_flag)
    with process.start(behaviour, tmp_path / "log") as server:
        given = truth_target.scenario(8, 20)
        task = truth_target.task(tmp_path / "run", server.port, given, model=model, inputs=inputs)
        finished = _finished(_measure(driver, task))
        log = server.stop()
    rows = _rows(tmp_path / "run")
    assert finished.ended == "window_over"
    assert len(rows) == finished.taken == finished.records_written == len(log)
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {tuple(row["chunk_tokens"]) for row in rows} == {(1,) * 20}
    counted = "output_tokens_server" if model == "ensemble" else "output_tokens_client"
    assert {row[counted] for row in rows} == {20}
    if model == "ensemble":
        assert {row["input_tokens_server"] for row in rows} == {sent.input_tokens for sent in log}
    _assert_causal(rows, log)


def _assert_causal(rows: Sequence[dict[str, Any]], log: Sequence[SentRequest]) -> None:
    """perf_analyzer sends ids of its own, so requests are joined by rank: what holds for pairs holds for ranks."""

    def ranked(seen: Sequence[int], sent: Sequence[int]) -> np.ndarray[Any, Any]:
        return np.sort(np.asarray(seen)) - np.sort(np.asarray(sent))

    bound = 100_000  # how well the clocks are joined: microseconds, unless somebody sets the clock meanwhile
    asked = ranked([sent.request_complete_ns for sent in log], [row["sent_ns"] for row in rows])
    firsts = [row["first_token_ns"] for row in rows], [sent.chunk_sent_ns[0] for sent in log]
    lasts = [row["last_token_ns"] for row in rows], [sent.chunk_sent_ns[19] for sent in log]
    assert asked.min() > -bound, "no request reached the server before it was sent"
    for seen, sent in (firsts, lasts):
        lags = ranked(seen, sent)
        assert lags.min() > -bound, "no chunk was seen before it was sent"
        assert np.median(lags) < 0.5 * GAP_NS, "half of the chunks are stamped within half a gap of their sending"


def test_the_plan_is_taken_in_order_and_every_number_once(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(6, 10))
        finished = _finished(_measure(driver, task))
        log = server.stop()
    rows = _rows(tmp_path / "run")
    assert [row["index"] for row in rows] == list(range(finished.taken))
    sends = [row["sent_ns"] for row in rows]
    assert sends == sorted(sends)
    edges = sorted([(sent.arrival_ns, 1) for sent in log] + [(sent.ended_ns, -1) for sent in log])
    assert max(np.cumsum([step for _, step in edges])) == 6


def test_the_window_lies_within_full_load_and_phases_follow_from_the_sends(
    driver: PerfAnalyzerDriver, tmp_path: Path
) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 10))
        finished = _finished(_measure(driver, task))
    start, end = finished.window_start_ns, finished.window_end_ns
    assert start is not None
    assert end is not None
    assert end == start + (task.window_ns or 0)
    assert start >= finished.start_ns + task.warm_up_ns
    rows = _rows(tmp_path / "run")
    for row in rows:
        assert row["phase"] == ("warm_up" if row["sent_ns"] < start else "window" if row["sent_ns"] < end else "drain")
    assert max(row["sent_ns"] for row in rows) >= end, "the load went on through the drain"


def test_a_plan_that_is_too_short_ends_the_point_early_and_says_so(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 5, max_requests=60))
        finished = _finished(_measure(driver, task))
    assert (finished.ended, finished.taken, finished.never_taken) == ("max_requests", 60, 0)


def test_how_the_clocks_were_joined_is_kept_with_the_run(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(2, 5, max_requests=40))
        _finished(_measure(driver, task))
    account = json.loads((tmp_path / "run" / "perf_analyzer-p0-r0-a1-w0.json").read_text())
    change = abs(account["wall_clock_offset_after_ns"] - account["wall_clock_offset_before_ns"])
    assert account["instant_error_bound_ns"] >= change
    assert account["requests"] + account["rehearsal_requests"] == 40


OPEN_OFFSETS_NS = [number * 20_000_000 + (number % 3) * 4_000_000 for number in range(120)]


def _open_task(folder: Path, port: int) -> MeasurementTask:
    """A small open loop: the closed plan's rows with planned instants."""
    task = truth_target.task(
        folder, port, truth_target.scenario(1, 10, max_requests=len(OPEN_OFFSETS_NS)), concurrency=None
    )
    plan = RunFolder(folder).plan()
    at = plan.schema.get_field_index("intended_offset_ns")
    plan = plan.set_column(at, PLAN.field("intended_offset_ns"), pa.array(OPEN_OFFSETS_NS, pa.int64()))
    RunFolder(folder).write_plan(plan)
    return task


def test_an_open_loop_is_sent_as_planned(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        finished = _finished(_measure(driver, _open_task(tmp_path / "run", server.port)))
        log = server.stop()
    rows = _rows(tmp_path / "run")
    assert len(rows) == len(log) == finished.taken == 120
    for row, offset in zip(rows, OPEN_OFFSETS_NS, strict=True):
        assert row["intended_ns"] == finished.start_ns + offset
        assert row["sent_ns"] >= row["intended_ns"]
    lags = [row["sent_ns"] - row["intended_ns"] for row in rows]
    assert np.median(lags) < 0.25 * 20_000_000, "half of the sends lag less than a quarter of the planned interval"
    arrivals = np.sort([sent.arrival_ns for sent in log])
    drift = np.diff(arrivals) - np.diff(OPEN_OFFSETS_NS)
    assert np.median(np.abs(drift)) < 0.25 * 20_000_000, "the server saw the planned gaps"
    assert finished.window_start_ns == finished.start_ns + 300_000_000


def test_a_request_that_fails_is_one_clear_error_and_not_for_ever(
    driver: PerfAnalyzerDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "QUIET_S", 2.0)
    behaviour = Behaviour(time_to_first_token_s=0.01, error_after_tokens=3)
    with process.start(behaviour, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(2, 10, timeout_s=1))
        with pytest.raises(DriverFailed, match="perf_analyzer") as caught:
            _measure(driver, task)
    assert "locust" in str(caught.value) or "gives up" in str(caught.value)


def test_what_the_server_says_of_a_refused_request_is_passed_on(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    with process.start(Behaviour(decoupled=False), tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(2, 10))
        with pytest.raises(DriverFailed, match="decoupled"):
            _measure(driver, task)


def test_a_port_where_nobody_listens_is_one_clear_failure(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    events = _measure(driver, truth_target.task(tmp_path / "run", 1, truth_target.scenario(2, 5)))
    assert [event.kind for event in events] == [tasks.FAILED]
    assert events[0].facts["target"] is True
    assert "refused" in events[0].facts["message"]


def test_stopping_ends_the_tool_and_leaves_no_half_records(driver: PerfAnalyzerDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 10), window_ns=60 * 10**9)
        events = truth_target.execute(driver, task, stop_after_s=3.0)  # type: ignore[arg-type]
    finished = Finished.from_facts(events[-1].facts)
    assert (finished.ended, finished.taken) == ("interrupted", 0)
    assert not list((tmp_path / "run" / "parts").glob("requests-*"))


RUN_AND_WAIT = """\
import sys, time
from pathlib import Path
from harness.drivers.perf_analyzer.child import Child
child = Child(["sleep", "60"], {"PATH": "/usr/bin:/bin"}, Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def test_the_tool_dies_with_a_harness_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUN_AND_WAIT, str(tmp_path / "log")], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        while child.name() != "sleep":  # until the tether has become the command
            time.sleep(0.02)
        parent.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_missing_tool_is_told_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="neither on the PATH nor installed") as caught:
        PerfAnalyzerDriver(tmp_path / "log").__enter__()
    assert "harness tools install perf-analyzer" in str(caught.value)


SCENARIO = """\
version: 1
name: peers
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 10}}
load: {{kind: closed_loop, concurrency: 4, max_requests: 4000}}
phases: {{warm_up_s: 0.2, window_s: 1.5}}
telemetry: {{period_s: 0.2}}
"""


EMBEDDED = """\
version: 1
name: peers-embedded
target: {engine: cpu-tiny}
workload: {input_tokens: 24, output_tokens: 16}
load: {kind: closed_loop, concurrency: 4}
phases: {warm_up_s: 0.5, window_s: 2}
driver: perf_analyzer
"""


def _harness(cwd: Path, *arguments: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "200", "HARNESS_STATE": str(cwd / "state")},
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_scenario_names_its_driver_and_the_report_is_the_same(tool: install.Tool, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        path = tmp_path / "peers.yaml"
        path.write_text(SCENARIO.format(port=server.port) + "driver: perf_analyzer\n")
        code, output = _harness(tmp_path, "run", str(path))
    assert code == 0, output
    (folder,) = (tmp_path / "runs").iterdir()
    metrics = json.loads((folder / "metrics.json").read_text())["points"][0]["metrics"]
    assert metrics["output_tokens"]["mean"]["value"] == 10
    assert (folder / "report.html").exists()


@pytest.mark.slow
def test_the_embedded_triton_is_measured_with_exact_counts(tool: install.Tool, tmp_path: Path) -> None:
    (tmp_path / "embedded.yaml").write_text(EMBEDDED)
    code, output = _harness(tmp_path, "run", "embedded.yaml")
    assert code == 0, output
    (folder,) = (tmp_path / "runs").iterdir()
    rows = pq.read_table(folder / "requests.parquet").to_pylist()
    assert len(rows) > 50
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {row["input_tokens_server"] for row in rows} == {24}
    assert {row["output_tokens_server"] for row in rows} == {16}
    for row in rows:
        assert sum(row["chunk_tokens"]) == 16
        assert row["server_arrival_ns"] <= row["server_first_token_ns"] <= row["server_last_token_ns"]


@pytest.mark.slow
def test_a_cross_check_measures_with_both_and_writes_its_verdict(tool: install.Tool, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        path = tmp_path / "peers.yaml"
        path.write_text(SCENARIO.format(port=server.port))
        code, output = _harness(tmp_path, "run", str(path), "--cross-check")
        log = server.stop()
    (folder,) = (tmp_path / "runs").iterdir()
    (point,) = json.loads((folder / "cross_check.json").read_text())["points"]
    assert code == {"agree": 0, "differ": 3, "cannot tell": 4}[point["verdict"]], output
    values = {(each["metric"], each["statistic"]): each for each in point["values"]}
    assert values["output_tokens", "mean"]["verdict"] == "agree"
    median = values["inter_chunk_latency", "p50"]
    assert abs(median["left"]["value"] - median["right"]["value"]) < 0.5 * GAP_NS
    assert "| time_to_first_token_from_send | p50 |" in (folder / "cross_check.md").read_text()
    rows = pq.read_table(folder / "requests.parquet").to_pylist()
    assert {row["point_id"].rsplit("-", 1)[1] for row in rows} == {"locust", "perf_analyzer"}
    assert len(log) >= len(rows)


def test_a_point_perf_analyzer_cannot_do_is_refused_before_anything_is_sent(tool: install.Tool, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        text = SCENARIO.format(port=server.port).replace("truth,", 'truth, headers: {x-tenant: "a"},')
        (tmp_path / "peers.yaml").write_text(text)
        code, output = _harness(tmp_path, "run", "peers.yaml", "--cross-check")
        log = server.stop()
    assert code == 2, output
    assert "x-tenant" in output
    assert log == [], "not even by the driver that could"


def test_a_data_set_for_trtllm_bench_comes_from_the_plan_of_a_run(tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        (tmp_path / "peers.yaml").write_text(SCENARIO.format(port=server.port))
        code, output = _harness(tmp_path, "run", "peers.yaml", "--allow-invalid")
    assert code == 0, output
    (folder,) = (tmp_path / "runs").iterdir()
    arguments = ["--point", "all-c4", "--model", "org/m", "--requests", "25"]
    code, output = _harness(tmp_path, "tools", "prepare-trtllm-bench", str(folder), *arguments)
    assert code == 0, output
    assert "trtllm-bench --model org/m throughput" in output
    entries = [json.loads(line) for line in (folder / "trtllm-bench-all-c4.jsonl").read_text().splitlines()]
    assert len(entries) == 25
    assert {len(entry["input_ids"]) for entry in entries} == {12}
    assert {entry["output_tokens"] for entry in entries} == {10}
    assert len({tuple(entry["input_ids"]) for entry in entries}) == 25
