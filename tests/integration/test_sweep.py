"""`harness sweep` on the embedded engine: killed in the middle, resumed, with combinations that do not start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.engine.load import load_engine
from harness.records.store import RunFolder
from harness.resources import find_named
from harness.target.model_cache import prepare_model
from harness.target.places import cache_folder
from harness.target.server_environment import prepare

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow]

SCENARIO = """\
version: 1
name: small-sweep
target: {engine: cpu-tiny, model: ensemble}
vary: {max_batch_size: [2, 8, 1024], model.seed: [0, 7]}
workload: {input_tokens: 24, output_tokens: 12}
load: {kind: closed_loop, concurrency: [2, 8], max_requests: 1500}
phases: {warm_up_s: 0.2, window_s: 1}
objectives: [{metric: time_to_first_token, statistic: p50, at_most_ms: 5000}]
telemetry: {period_s: 0.2}
"""
KILLED_AFTER = 2  # measurements
DAMAGED = "7"  # the seed whose model cannot be loaded


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the server's environment and the model of seed 0 as they are, and a damaged model of seed 7."""
    shape = load_engine(str(find_named("engines", "cpu-tiny"))).spec.model
    environment = prepare(print)
    whole = prepare_model(shape, environment, print)
    own = tmp_path_factory.mktemp("cache")
    (own / "models").mkdir()
    (own / environment.root.name).symlink_to(environment.root)
    (own / "models" / whole.name).symlink_to(whole)
    before = os.environ.get("HARNESS_CACHE")
    os.environ["HARNESS_CACHE"] = str(own)
    try:
        assert cache_folder() == own
        damaged = prepare_model(shape.model_copy(update={"seed": int(DAMAGED)}), environment, print)
    finally:
        os.environ.pop("HARNESS_CACHE")
        if before is not None:
            os.environ["HARNESS_CACHE"] = before
    (damaged / "openvino_model.bin").write_bytes(b"no weights")
    return own


@pytest.fixture(scope="module")
def swept(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[str], str]:
    """(the finished run folder, point and repetition of what was measured before the kill, what `--resume` printed)."""
    work = tmp_path_factory.mktemp("sweep")
    (work / "small-sweep.yaml").write_text(SCENARIO)
    environment = os.environ | {"HARNESS_CACHE": str(cache), "HARNESS_STATE": str(work / "state"), "COLUMNS": "200"}
    first = _harness("sweep", "small-sweep.yaml", work=work, environment=environment)
    folder = _killed(first, work)
    before = [f"{m.point_id}/{m.repetition}" for m in folder.manifest().measurements if m.complete]
    second = _harness("sweep", "--resume", str(folder.path), work=work, environment=environment)
    printed, _ = second.communicate(timeout=120)
    assert second.returncode in (0, 3), printed  # 3: the machine was too busy for any point to be believed
    return folder, before, printed


def _harness(*arguments: str, work: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _killed(child: subprocess.Popen[str], work: Path) -> RunFolder:
    """The folder of a sweep that got SIGKILL while its next repetition ran."""
    deadline = time.monotonic() + 90
    try:
        while time.monotonic() < deadline and child.poll() is None:
            for path in (work / "runs").glob("*/manifest.json"):
                folder = RunFolder.open(path.parent)
                if len(folder.manifest().measurements) >= KILLED_AFTER:
                    time.sleep(0.5)
                    child.send_signal(signal.SIGKILL)
                    child.communicate(timeout=10)
                    return folder
            time.sleep(0.1)
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate(timeout=10)
    raise AssertionError(f"the sweep did not get far enough (exit code {child.returncode})")


def _answer(folder: RunFolder) -> dict[str, Any]:
    return dict(json.loads((folder.path / "answer.json").read_text()))


def test_resume_measures_what_is_missing_and_nothing_twice(swept: tuple[RunFolder, list[str], str]) -> None:
    folder, before, printed = swept
    assert "describes itself differently" not in printed, "another start of the same server"
    manifest = folder.manifest()
    done = {f"{m.point_id}/{m.repetition}": m for m in manifest.measurements}
    assert len(before) >= KILLED_AFTER
    assert all(done[name].attempt == 1 for name in before)
    assert {m.attempt for name, m in done.items() if name not in before} == {2}
    alive = {d.deployment_id for d in manifest.deployments if d.failure is None}
    wanted = {f"{p.point_id}/{r}" for p in manifest.points if p.deployment_id in alive for r in range(p.repetitions)}
    assert set(done) == wanted
    assert len(wanted) == 2 * 2 + 2  # two deployments at two loads, and two visits of the reference
    rows = (
        folder.requests()
        .group_by(["point_id", "repetition"])
        .aggregate([("index", "count_distinct"), ("index", "count")])
    )
    assert all(row["index_count"] == row["index_count_distinct"] for row in rows.to_pylist())


def test_a_combination_that_does_not_start_is_a_result(swept: tuple[RunFolder, list[str], str]) -> None:
    folder, _, printed = swept
    failures = {tuple(d.varied.values()): d.failure for d in folder.manifest().deployments}
    assert {key for key, failure in failures.items() if failure is None} == {(2, 0), (8, 0)}
    assert all((failures[size, 7] or "").startswith("does not start: ") for size in (2, 8))
    assert "must be at least max_batch_size" in (failures[1024, 0] or "")
    page = (folder.path / "report.html").read_text()
    assert page.count("does not start: ") >= 2
    assert "does not start" in printed


def test_the_answer_names_an_engine_that_can_be_deployed(swept: tuple[RunFolder, list[str], str]) -> None:
    folder, _, printed = swept
    (found,) = _answer(folder)["workloads"]
    recommended = found["recommendation"]
    if recommended["deployment_id"] is None:
        assert "INVALID" in recommended["reason"]
        return
    spec = load_engine(str(folder.path / recommended["engine_spec"])).spec
    assert spec.settings.max_batch_size == recommended["settings"]["max_batch_size"]
    assert not recommended["margin_is_real"]  # one repetition
    assert "harness engine render" in printed


def test_rates_are_per_server_where_there_is_no_gpu(swept: tuple[RunFolder, list[str], str]) -> None:
    folder, _, _ = swept
    text = (folder.path / "answer.json").read_text()
    assert "output_token_throughput_per_server" in text
    assert "_per_gpu" not in text
    assert "per GPU" not in (folder.path / "report.html").read_text().partition("<h2>Points</h2>")[0].replace(
        "rates are per server, not per GPU", ""
    )


def test_what_bound_a_point_is_read_from_the_engines_gauges(swept: tuple[RunFolder, list[str], str]) -> None:
    """Eight users on two slots: six of them wait for one."""
    folder, _, _ = swept
    (found,) = _answer(folder)["workloads"]
    two_slots = next(c for c in found["configurations"] if c["settings"] == {"max_batch_size": 2, "model.seed": 0})
    crowded = next(point for point in two_slots["points"] if point["load"] == "concurrency 8")
    assert "batch slots" in [bound["by"] for bound in crowded["bound_by"]]


def test_the_reference_is_measured_at_the_start_and_at_the_end(swept: tuple[RunFolder, list[str], str]) -> None:
    folder, _, _ = swept
    reference = _answer(folder)["reference"]
    assert len(reference["output_token_throughput"]) == 2
    assert reference["spread_ratio"] >= 0
    own = [m for m in folder.manifest().measurements if m.point_id == reference["point_id"]]
    others = [m for m in folder.manifest().measurements if m.point_id != reference["point_id"]]
    assert min(m.start_ns for m in own) < min(m.start_ns for m in others)
    assert max(m.start_ns for m in own) > max(m.start_ns for m in others)
