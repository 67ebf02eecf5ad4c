"""`harness size` finds the edge of a queue whose edge is known in closed form, and goes on after it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.truth import process
from harness.truth.behaviour import Behaviour
from tests.oracle import queue

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow]

SERVICE_S, WAIT_S, FIRST_S = 0.005, 0.01, 0.005
SCENARIO = """\
version: 1
name: size-truth
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 2}}
load: {{kind: open_loop, arrivals: {{process: poisson, request_rate_per_s: 4}}}}
size: {{lowest: 40, highest: 640, resolution: 0.25, shortest_window_s: 2.5, confirmations: 1, drain_limit_s: 2}}
phases: {{warm_up_s: 0.5}}
objectives: [{{metric: time_to_first_token, statistic: p90, at_most_ms: {limit_ms}}}]
request: {{timeout_s: 5}}
telemetry: {{nvml: false, metrics: false, statistics: false, host: false}}
"""


def _start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness.cli.main", "size", *arguments]
    env = os.environ | {"HARNESS_STATE": str(cwd / "state"), "COLUMNS": "200"}
    return subprocess.Popen(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_edge_of_a_known_queue_lies_in_the_interval_also_after_a_kill(tmp_path: Path) -> None:
    edge = queue.optimum(lambda rate: queue.over_md1(rate, SERVICE_S, WAIT_S), 1 / SERVICE_S, 0.9)
    behaviour = Behaviour(time_to_first_token_s=FIRST_S, servers=1, service_s=SERVICE_S)
    with process.start(behaviour, tmp_path / "log") as server:
        limit_ms = (FIRST_S + WAIT_S) * 1e3
        (tmp_path / "size.yaml").write_text(SCENARIO.format(port=server.port, limit_ms=limit_ms))
        with _start(tmp_path, "size.yaml") as child:
            deadline = time.monotonic() + 60
            while not list(tmp_path.glob("runs/*/search.json")):
                assert time.monotonic() < deadline, "no probe was judged"
                assert child.poll() is None, child.communicate()[0]
                time.sleep(0.1)
            child.send_signal(signal.SIGKILL)
        (folder,) = (tmp_path / "runs").iterdir()
        before = json.loads((folder / "search.json").read_text())["only"]["history"]
        with _start(tmp_path, "--resume", str(folder)) as child:
            output, _ = child.communicate(timeout=200)
        assert child.returncode in (0, 3), output
    kept = json.loads((folder / "search.json").read_text())["only"]
    assert kept["history"][: len(before)] == before, "what was measured before the kill is not measured again"
    if child.returncode == 3:
        pytest.skip("the machine was too busy to believe a probe")
    answer = json.loads((folder / "size.json").read_text())
    (found,) = answer["configurations"]
    assert found["low"] <= edge * 1.05, output
    assert found["high"] is None or found["high"] >= edge * 0.95, output
    assert found["load"] > edge / 3, output
    assert (
        'id="size"' in (folder / "report.html").read_text()
        or "Probes of the search" in (folder / "report.html").read_text()
    )
    assert "goodput_per_server" in found
    assert "per_gpu" not in (folder / "size.json").read_text()
