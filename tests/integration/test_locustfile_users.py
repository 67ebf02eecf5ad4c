"""The user class in a real locustfile, run by the real `locust` command against the truth server."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import Outcome

pytestmark = [pytest.mark.integration, pytest.mark.alone]

LOCUSTFILE = Path(__file__).parent / "locustfiles" / "chat.py"
PACED = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01)


def _locust(folder: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "-u", "4", "-r", "4", "-t", "6s"]
    command += ["--host", f"http://127.0.0.1:{port}", "--csv", str(folder / "stats"), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def _statistics(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / "stats_stats.csv").open() as file:
        return {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}


@pytest.mark.parametrize("processes", [1, 2])
def test_locust_lists_ttft_and_tpot_and_every_request_is_a_record(tmp_path: Path, processes: int) -> None:
    options = ["--harness-run", "run", *(["--processes", "2"] if processes == 2 else [])]
    with process.start(PACED, tmp_path / "log") as server:
        done = _locust(tmp_path, server.port, *options)
        log = {sent.request_id: sent for sent in server.stop()}
    assert done.returncode == 0, done.stderr
    folder = RunFolder(tmp_path / "run")
    if processes == 2:
        folder.merge_requests([])
    rows = folder.requests().to_pylist()
    assert len(rows) == len({row["request_id"] for row in rows}) == len(log) > 20
    assert {row["worker"] for row in rows} == set(range(processes))
    questions = [row for row in rows if row["workload_part"] == "question" and row["outcome"] == "ok"]
    stories = [row for row in rows if row["workload_part"] == "story"]
    assert questions
    assert {row["output_tokens_server"] for row in questions} == {20}
    assert {row["outcome"] for row in stories} == {"cancelled"}
    assert {len(row["chunk_tokens"]) for row in stories if row["error"] == "cancelled as planned"} == {5}
    assert log[stories[0]["request_id"]].outcome == Outcome.CANCELLED

    table = _statistics(tmp_path)
    asked = [row for row in rows if row["workload_part"] == "question" and row["first_token_ns"] is not None]
    waits = [(row["first_token_ns"] - row["sent_ns"]) / 1e6 for row in asked]
    assert float(table["TTFT", "question"]["Average Response Time"]) == pytest.approx(np.mean(waits), rel=0.1)
    pace = [(row["last_token_ns"] - row["first_token_ns"]) / 19e6 for row in questions]
    assert float(table["TPOT", "question"]["Average Response Time"]) == pytest.approx(np.mean(pace), rel=0.1)
    assert int(table["grpc", "question"]["Failure Count"]) == 0


def test_failures_are_failures_in_locust_too(tmp_path: Path) -> None:
    with process.start(Behaviour(error_after_tokens=2), tmp_path / "log") as server:
        _locust(tmp_path, server.port)
    table = _statistics(tmp_path)
    assert int(table["grpc", "question"]["Failure Count"]) == int(table["grpc", "question"]["Request Count"]) > 0
    assert not (tmp_path / "run").exists(), "no records unless asked for"
