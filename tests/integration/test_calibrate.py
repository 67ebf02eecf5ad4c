"""`harness calibrate` on real processes, and what a run then keeps of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.campaigns import calibration_profile
from harness.campaigns.calibrate import calibrate
from harness.campaigns.display import Silent
from harness.records.calibration import Calibration, NotCalibrated
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = [pytest.mark.integration, pytest.mark.alone]

SCENARIO = """\
version: 1
name: calibrated
target: {{attach: {{name: truth, url: "127.0.0.1:{port}", protocol: {protocol}}}}}
workload: {{input_tokens: 12, output_tokens: {output_tokens}}}
load: {{kind: closed_loop, concurrency: {concurrency}, max_requests: 20000}}
phases: {{warm_up_s: 0.2, window_s: {window_s}}}
"""


PACED = Behaviour(time_to_first_token_s=0.02)
FULL_SPEED: dict[str, object] = {"output_tokens": 400, "concurrency": 64, "window_s": 2}


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
    verdict = json.loads((run / "verdict.json").read_text())
    (point,) = verdict["points"].values()
    reasons = {reason["code"]: reason["severity"] for reason in point["validity"]["reasons"]}
    return kept | {"notes": verdict["notes"], "reasons": reasons}


def _run(cwd: Path, behaviour: Behaviour = PACED, protocol: str = "triton_grpc", **load: object) -> dict[str, object]:
    """A run whose load generator has time to spare, unless `load` says otherwise; the server has a core of its own."""
    asked: dict[str, object] = {"output_tokens": 10, "concurrency": 2, "window_s": 1} | load
    with process.start(behaviour, cwd / "log") as server:
        psutil.Process(server.pid).cpu_affinity([min(os.sched_getaffinity(0))])
        port = server.port if protocol == "triton_grpc" else server.http_port
        (cwd / "calibrated.yaml").write_text(SCENARIO.format(port=port, protocol=protocol, **asked))
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
    assert not kept["reasons"].keys() & {"client_ceiling", "client_cpu"}  # type: ignore[attr-defined]
    shown = _harness("calibrate", "--show", cwd=tmp_path).stdout
    assert "output tokens:" in shown


def test_a_load_at_the_calibrated_ceiling_is_not_believed(
    profile: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight tokens in each message: far more tokens than were calibrated, where they came one by one."""
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    calibration_profile.keep(profile)
    assert "client_ceiling" in _run(tmp_path, Behaviour(tokens_per_chunk=8), **FULL_SPEED)["reasons"]  # type: ignore[operator]


def test_a_load_generator_without_cpu_to_spare_is_not_believed(tmp_path: Path) -> None:
    """The server packs eight tokens a packet, so that splitting and stamping them is more work than sending them."""
    kept = _run(tmp_path, Behaviour(chunks_per_packet=8), "openai_chat", **FULL_SPEED)
    assert "client_cpu" in kept["reasons"]  # type: ignore[operator]


def test_a_damaged_profile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: Calibration) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    calibration_profile.keep(profile).write_text("{")
    found = calibration_profile.in_force()
    assert isinstance(found, NotCalibrated)
    assert "cannot be read" in found.reason
