"""`harness calibrate` on real processes, and what a run then keeps of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.campaigns import calibration_profile
from harness.campaigns.calibrate import calibrate
from harness.campaigns.display import Silent
from harness.records.calibration import Calibration, NotCalibrated
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

SCENARIO = """\
version: 1
name: calibrated
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 10}}
load: {{kind: closed_loop, concurrency: 2, max_requests: 500}}
phases: {{warm_up_s: 0.2, window_s: 1}}
"""


@pytest.fixture(scope="module")
def profile() -> Calibration:
    return calibrate(Silent(), window_s=1.5, streams=(1, 8))


def test_a_profile_says_how_wrong_instants_are_and_what_is_carried(profile: Calibration) -> None:
    assert [level.streams for level in profile.timing] == [1, 8]
    for level in profile.timing:
        assert 0 < level.time_to_first_token_error_p50_ns <= level.time_to_first_token_error_p99_ns
        assert level.time_to_first_token_error_p50_ns < 50e6, "less than the time to first token itself"
        assert level.gap_error_p99_ns > 0
        assert level.samples > 0
    tokens, requests = profile.ceiling("output_tokens"), profile.ceiling("requests")
    assert tokens is not None
    assert requests is not None
    assert tokens.per_s > requests.per_s > 0
    assert tokens.estimated_per_s >= tokens.per_s
    assert [late.request_rate_per_s for late in profile.send_lateness] == [20, 100]
    assert all(0 <= late.p50_ns <= late.p99_ns for late in profile.send_lateness)
    assert profile.not_measured == {}


def _harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli.main", *arguments]
    env = os.environ | {"HARNESS_STATE": str(cwd / "state"), "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=env, text=True, capture_output=True, timeout=120, check=False)


def _kept(cwd: Path) -> dict[str, object]:
    (run,) = (cwd / "runs").iterdir()
    kept: dict[str, object] = json.loads((run / "calibration.json").read_text())
    return kept | {"notes": json.loads((run / "verdict.json").read_text())["notes"]}


def _run(cwd: Path) -> dict[str, object]:
    with process.start(Behaviour(time_to_first_token_s=0.02), cwd / "log") as server:
        (cwd / "calibrated.yaml").write_text(SCENARIO.format(port=server.port))
        done = _harness("run", "calibrated.yaml", "--allow-invalid", cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return _kept(cwd)


def test_a_run_on_a_host_without_a_profile_says_so(tmp_path: Path) -> None:
    assert _harness("calibrate", "--show", cwd=tmp_path).returncode == 2
    kept = _run(tmp_path)
    assert kept["calibrated"] is False
    assert kept["notes"] == [f"not calibrated: {kept['reason']}"]
    assert "harness calibrate" in str(kept["reason"])


def test_a_run_keeps_a_copy_of_the_profile_in_force(
    profile: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    assert isinstance(calibration_profile.in_force(), NotCalibrated)
    calibration_profile.keep(profile)
    assert calibration_profile.in_force() == profile
    kept = _run(tmp_path)
    assert kept["calibrated"] is True
    assert kept["host_key"] == profile.host_key
    assert kept["notes"] == []
    shown = _harness("calibrate", "--show", cwd=tmp_path).stdout
    assert "output tokens:" in shown


def test_a_damaged_profile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: Calibration) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    calibration_profile.keep(profile).write_text("{")
    found = calibration_profile.in_force()
    assert isinstance(found, NotCalibrated)
    assert "cannot be read" in found.reason
