"""`harness gate pair` as a pipeline uses it: real servers, few pairs, short windows; what it says and leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from harness.cli.report_command import report
from harness.cli.run_command import run
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = [pytest.mark.integration, pytest.mark.alone]

PACED = Behaviour(time_to_first_token_s=0.016, inter_token_s=0.004)
SLOWER = Behaviour(time_to_first_token_s=0.04, inter_token_s=0.010)  # 2.5 times
SCENARIO = """\
version: 1
name: pairs
target: {target}
workload: {{input_tokens: 12, output_tokens: 6}}
load: {{kind: closed_loop, concurrency: {concurrency}, max_requests: 1000}}
phases: {{warm_up_s: 0.2, window_s: {window_s}}}
request: {{timeout_s: 10}}
telemetry: {{period_s: 0.2}}
gate: {{looks: [4]}}
"""
LATER = {"verdict.json", "report.html", "summary.md", "junit.xml"}


def _harness(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )


def _finish(child: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str]:
    output, _ = child.communicate(timeout=timeout)
    return child.returncode, output


def _only_run(cwd: Path) -> Path:
    (folder,) = (cwd / "runs").iterdir()
    return folder


def _read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def _halves(folder: Path) -> list[tuple[int, str]]:
    """(pair, arm) in the order in which they were measured."""
    measured = sorted(_read(folder, "manifest.json")["measurements"], key=lambda m: m["start_ns"])
    return [(m["repetition"], m["arm"]) for m in measured if m["complete"]]


def test_a_candidate_two_and_a_half_times_slower_fails_also_when_the_gate_was_stopped_and_resumed(
    tmp_path: Path,
) -> None:
    scenario = tmp_path / "pairs.yaml"
    with process.start(PACED, tmp_path / "a.log") as baseline, process.start(SLOWER, tmp_path / "b.log") as candidate:
        attached = f'{{attach: {{url: "127.0.0.1:{baseline.port}"}}}}'
        scenario.write_text(SCENARIO.format(target=attached, concurrency=16, window_s=0.6))
        sides = [f"--baseline=127.0.0.1:{baseline.port}", f"--candidate=127.0.0.1:{candidate.port}"]
        child = _harness("gate", "pair", str(scenario), *sides, cwd=tmp_path)
        deadline = time.monotonic() + 60
        while not [m for f in tmp_path.glob("runs/*/manifest.json") for m in json.loads(f.read_text())["measurements"]]:
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        code, output = _finish(child)
        folder = _only_run(tmp_path)
        assert code == 130, output
        assert f"harness gate pair --resume {folder.relative_to(tmp_path)}" in output
        refused = CliRunner().invoke(run, ["--resume", str(folder)])
        assert "harness gate pair --resume" in str(refused.exception), "only the gate goes on with its pairs"
        code, output = _finish(_harness("gate", "pair", "--resume", str(folder), cwd=tmp_path))
    assert code == 1, output
    halves = _halves(folder)
    assert [pair for pair, _ in halves] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all({arm for p, arm in halves if p == pair} == {"baseline", "candidate"} for pair in range(4))
    assert {halves[0][1], halves[2][1]} == {"baseline", "candidate"}, "of two pairs in a row each side begins one"
    verdict = _read(folder, "verdict.json")
    slower = {m["metric"]: m for m in verdict["metrics"] if m["role"] == "gating"}["time_per_output_token"]
    assert verdict["status"] == "FAIL"
    assert slower["status"] == "FAIL"
    assert slower["effect"] > 1, "2.5 times is a loss of 150%"
    assert all(value["d"] > 0 for value in slower["values"])
    rows = pq.read_table(folder / "requests.parquet", columns=["request_id"])["request_id"].to_pylist()
    assert len(rows) == len(set(rows))
    assert {row.split("/")[1] for row in rows} == {"baseline", "candidate"}


def test_an_engine_against_itself_is_never_failed_and_its_folder_can_be_judged_again(tmp_path: Path) -> None:
    scenario = tmp_path / "pairs.yaml"
    scenario.write_text(SCENARIO.format(target="{engine: cpu-tiny}", concurrency=4, window_s=0.7))
    child = _harness("gate", "pair", str(scenario), "--baseline=cpu-tiny", "--candidate=cpu-tiny", cwd=tmp_path)
    code, output = _finish(child)
    folder = _only_run(tmp_path)
    assert code in (0, 4), output  # PASS, or INCONCLUSIVE on a machine that is busy with something else
    manifest, verdict = _read(folder, "manifest.json"), _read(folder, "verdict.json")
    assert verdict["status"] in ("PASS", "INCONCLUSIVE")
    assert verdict["status"] in output
    assert verdict["pairs"] == 4
    assert manifest["arms"] == {"baseline": "cpu-tiny", "candidate": "cpu-tiny"}
    assert len({point["deployment_id"] for point in manifest["points"]}) == 2
    assert len({deployment["url"] for deployment in manifest["deployments"]}) == 2, "two servers"
    assert not [field for field in verdict["identity"] if field["status"] == "undeclared"]
    before = {name: (folder / name).read_bytes() for name in LATER}
    for name in LATER:
        (folder / name).unlink()
    again = CliRunner().invoke(report, [str(folder)])
    assert again.exit_code == 0, again.output
    assert {name: (folder / name).read_bytes() for name in LATER} == before
