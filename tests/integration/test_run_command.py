"""`harness run` and `harness report` as a person uses them: real processes, the truth server behind `attach`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.004)
SCENARIO = """\
version: 1
name: cli
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 10}}
load: {{kind: closed_loop, concurrency: {levels}, max_requests: 2000}}
phases: {{warm_up_s: 0.2, window_s: {window_s}}}
telemetry: {{period_s: 0.2}}
"""


def _scenario(folder: Path, port: int, *, levels: str = "[1, 4]", window_s: float = 1.5, extra: str = "") -> Path:
    path = folder / "cli.yaml"
    path.write_text(SCENARIO.format(port=port, levels=levels, window_s=window_s) + extra)
    return path


def _harness(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )


def _finish(child: subprocess.Popen[str], timeout: float = 90) -> tuple[int, str]:
    output, _ = child.communicate(timeout=timeout)
    return child.returncode, output


def _run_folder(cwd: Path) -> Path:
    folders = list((cwd / "runs").iterdir())
    assert len(folders) == 1
    return folders[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one complete run, and nothing of the server any more."""
    cwd = tmp_path_factory.mktemp("finished")
    with process.start(PACED, cwd / "log") as server:
        code, output = _finish(_harness("run", str(_scenario(cwd, server.port)), cwd=cwd))
    assert code == 0, output
    assert "report: " in output
    assert "Traceback" not in output
    return _run_folder(cwd)


def test_a_run_leaves_a_complete_folder(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {
        "manifest.json",
        "plan.parquet",
        "requests.parquet",
        "telemetry.parquet",
        "server_statistics.parquet",
        "metrics.json",
        "verdict.json",
        "report.html",
        "summary.md",
        "requests.csv",
    } <= names
    assert not list((finished / "parts").iterdir()), "parts are merged"
    manifest = json.loads((finished / "manifest.json").read_text())
    assert [m["complete"] for m in manifest["measurements"]] == [True, True]
    rows = pq.read_table(finished / "requests.parquet")
    assert rows.num_rows == sum(m["records_expected"] for m in manifest["measurements"])
    assert rows.column("request_id").to_pylist() == [
        f"{point}/-/{repetition}/{index}"
        for point, repetition, index in zip(
            rows["point_id"].to_pylist(), rows["repetition"].to_pylist(), rows["index"].to_pylist(), strict=True
        )
    ]


def test_metrics_follow_from_the_truth_servers_schedule(finished: Path) -> None:
    points = {p["point_id"]: p for p in json.loads((finished / "metrics.json").read_text())["points"]}
    metrics = points["all-c4"]["metrics"]
    first_ms = metrics["time_to_first_token"]["p50"]["value"] / 1e6
    per_token_ms = metrics["time_per_output_token"]["p50"]["value"] / 1e6
    latency_ms = metrics["request_latency"]["p50"]["value"] / 1e6
    # The schedule is 20 ms + 9 gaps of 4 ms; a busy machine adds to it and can take nothing away.
    assert first_ms >= 20
    assert per_token_ms >= 3.9
    assert latency_ms == pytest.approx(first_ms + 9 * per_token_ms, rel=0.25)
    assert metrics["error_ratio"]["value"]["value"] == 0
    rate = metrics["output_token_throughput"]["value"]["value"]
    assert rate == pytest.approx(4 * 10 / (latency_ms / 1e3), rel=0.25), "Little's law"


def test_the_report_is_rebuilt_without_the_server(finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in ("report.html", "metrics.json", "summary.md")}
    for name in before:
        (finished / name).unlink()
    code, output = _finish(_harness("report", str(finished), cwd=finished.parent))
    assert code == 0, output
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_a_truncated_parquet_file_is_one_clear_error(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(finished), str(copy)], check=True)
    whole = (copy / "requests.parquet").read_bytes()
    (copy / "requests.parquet").write_bytes(whole[: len(whole) // 2])
    code, output = _finish(_harness("report", str(copy), cwd=tmp_path))
    assert code == 2
    assert "requests.parquet is damaged" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) <= 3


@pytest.mark.parametrize(("folder", "text"), [("nowhere", "no such run folder"), (".", "is not a run folder")])
def test_a_folder_that_is_no_run_is_one_clear_error(tmp_path: Path, folder: str, text: str) -> None:
    code, output = _finish(_harness("report", folder, cwd=tmp_path))
    assert code == 2
    assert text in output
    assert "Traceback" not in output


def test_a_dead_port_is_a_clear_error_within_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    code, output = _finish(_harness("run", str(_scenario(tmp_path, 1)), cwd=tmp_path))
    assert code == 5, output
    assert "127.0.0.1:1" in output
    assert "Traceback" not in output
    assert time.monotonic() - began < 30


def _wait_for(path_pattern: str, cwd: Path, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not list(cwd.glob(path_pattern)):
        assert time.monotonic() < deadline, f"{path_pattern} did not appear"
        time.sleep(0.1)


def test_ctrl_c_keeps_what_was_measured_and_resume_goes_on(tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        scenario = _scenario(tmp_path, server.port, levels="[1, 2]", window_s=5)
        child = _harness("run", str(scenario), cwd=tmp_path)
        _wait_for("runs/*/parts/requests-*", tmp_path)
        time.sleep(2.5)
        child.send_signal(signal.SIGINT)
        code, output = _finish(child)
        assert code == 130, output
        assert "--resume" in output
        folder = _run_folder(tmp_path)
        interrupted = json.loads((folder / "manifest.json").read_text())
        assert [m["ended"] for m in interrupted["measurements"]] == ["interrupted"]
        kept = pq.read_table(folder / "requests.parquet").num_rows
        assert kept == interrupted["measurements"][0]["records_expected"] > 0
        assert (folder / "report.html").exists()

        code, output = _finish(_harness("run", "--resume", str(folder), cwd=tmp_path))
    assert code == 0, output
    resumed = json.loads((folder / "manifest.json").read_text())
    assert resumed["attempt"] == 2
    assert "describes itself differently" not in output
    assert sorted((m["point_id"], m["complete"], m["attempt"]) for m in resumed["measurements"]) == [
        ("all-c1", True, 2),
        ("all-c2", True, 2),
    ]
    rows = pq.read_table(folder / "requests.parquet")
    assert rows.num_rows == sum(m["records_expected"] for m in resumed["measurements"])


def test_a_server_killed_in_the_middle_ends_the_run_and_keeps_what_was_measured(tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        child = _harness("run", str(_scenario(tmp_path, server.port, window_s=60)), cwd=tmp_path)
        _wait_for("runs/*/parts/requests-*", tmp_path)
        time.sleep(2)
        server.kill()
        killed = time.monotonic()
        code, output = _finish(child)
    assert code == 5, output
    assert time.monotonic() - killed < 30
    assert "what was measured is kept" in output
    assert pq.read_table(_run_folder(tmp_path) / "requests.parquet").num_rows > 0


def test_a_load_generator_that_dies_is_told_with_its_signal(tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        child = _harness("run", str(_scenario(tmp_path, server.port, window_s=60)), cwd=tmp_path)
        _wait_for("runs/*/parts/requests-*", tmp_path)
        drivers = [c for c in psutil.Process(child.pid).children() if "harness.drivers.locust.process" in c.cmdline()]
        assert len(drivers) == 1
        drivers[0].kill()
        code, output = _finish(child)
    assert code == 6, output
    assert "signal 9" in output


def test_a_harness_that_is_killed_takes_its_load_generator_along(tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        child = _harness("run", str(_scenario(tmp_path, server.port, window_s=60)), cwd=tmp_path)
        _wait_for("runs/*/parts/requests-*", tmp_path)
        drivers = psutil.Process(child.pid).children()
        child.kill()
        child.communicate()
        _, alive = psutil.wait_procs(drivers, timeout=15)
        assert not alive
        folder = _run_folder(tmp_path)
        _, output = _finish(_harness("report", str(folder), cwd=tmp_path))
    assert "Traceback" not in output


def test_an_objective_that_is_missed_gives_exit_code_1(tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        objective = "objectives: [{metric: request_latency, statistic: p50, at_most_ms: 1}]\n"
        path = _scenario(tmp_path, server.port, levels="[2]", extra=objective)
        code, output = _finish(_harness("run", str(path), cwd=tmp_path))
    assert code == 1, output


def test_wrong_token_counts_make_the_point_invalid(tmp_path: Path) -> None:
    lying = Behaviour(time_to_first_token_s=0.005, output_tokens_short_by=2)
    with process.start(lying, tmp_path / "log") as server:
        path = _scenario(tmp_path, server.port, levels="[2]")
        code, output = _finish(_harness("run", str(path), cwd=tmp_path))
        assert code == 3, output
        code, output = _finish(_harness("run", str(path), "--allow-invalid", cwd=tmp_path))
        assert code == 0, output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run"], "name a scenario"),
        (["run", "quikstart"], "quickstart"),
        (["rnu"], "did you mean 'run'"),
        (["run", "--resume", "nowhere"], "no such run folder"),
    ],
)
def test_bad_usage_is_answered_with_the_next_step(tmp_path: Path, arguments: list[str], text: str) -> None:
    code, output = _finish(_harness(*arguments, cwd=tmp_path))
    assert code == 2, output
    assert text in output
    assert "Traceback" not in output
