"""`harness size` on servers whose answer is known: the edge of a queue in closed form, slots that can be counted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour
from tests.oracle import queue

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.slow]

SERVICE_S, WAIT_S, FIRST_S = 0.0025, 0.005, 0.005
HEAD = """\
version: 1
name: size-truth
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 2}}
phases: {{warm_up_s: 0.5}}
request: {{timeout_s: 5}}
telemetry: {{nvml: false, metrics: false, statistics: false, host: false}}
"""
QUEUE = """\
load: {{kind: open_loop, arrivals: {{process: poisson, request_rate_per_s: 4}}}}
size: {{lowest: 100, highest: 800, resolution: 0.3, shortest_window_s: 1, confirmations: 1, drain_limit_s: 2}}
objectives:
  - {{metric: time_to_first_token, statistic: p90, at_most_ms: {limit_ms}}}
  - {{metric: error_ratio, at_most_ratio: 0.01}}
"""
SLOTS, SLOT_S = 4, 0.02
COUNTED = """\
load: {{kind: closed_loop, concurrency: [1], max_requests: 4000}}
size: {{lowest: 2, highest: 16, resolution: {resolution}, mode: {mode}, confirmations: 1}}
objectives: [{{metric: time_to_first_token, statistic: p90, at_most_ms: {limit_ms}}}]
"""


@dataclass
class _Search:
    """A search in a folder of its own, as a user starts it."""

    work: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness.cli.main", "size", *arguments]
        env = os.environ | {"HARNESS_STATE": str(self.work / "state"), "COLUMNS": "200"}
        return subprocess.Popen(
            command, cwd=self.work, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def finish(self, *arguments: str) -> tuple[int, str]:
        with self.start(*arguments) as child:
            output, _ = child.communicate(timeout=240)
        return child.returncode, output

    @property
    def folder(self) -> Path:
        (found,) = (self.work / "runs").iterdir()
        return found

    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "search.json").read_text())["only"])

    def found(self) -> dict[str, Any]:
        (found,) = json.loads((self.folder / "size.json").read_text())["configurations"]
        return dict(found)

    def wait_for_probes(self, child: subprocess.Popen[str], count: int) -> None:
        """Until `count` probes are judged and the next one is being measured."""
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(ValueError, OSError):
                state = self.state()
                if len(state["history"]) >= count and state["asked"]:
                    break
            assert child.poll() is None, child.communicate()[0]
            assert time.monotonic() < deadline, "the probes were not judged in time"
            time.sleep(0.05)
        time.sleep(0.7)


@contextlib.contextmanager
def _server(work: Path, port: int = 0, first_s: float = FIRST_S, **behaviour: Any) -> Iterator[int]:
    told = Behaviour(time_to_first_token_s=first_s, **behaviour)
    with process.start(told, work / f"log-{time.monotonic_ns()}", port=port) as server:
        yield server.port


def _believed(code: int, output: str) -> None:
    """Exit code 0; 3 says that this machine was too busy, which no other test can tell from a defect."""
    if code == 3:
        pytest.skip("the machine was too busy to believe a probe")
    assert code == 0, output


def test_the_edge_of_a_known_queue_lies_in_the_interval_also_after_kills_and_a_lost_server(tmp_path: Path) -> None:
    edge = queue.optimum(lambda rate: queue.over_md1(rate, SERVICE_S, WAIT_S), 1 / SERVICE_S, 0.9)
    search = _Search(tmp_path)
    with _server(tmp_path, servers=1, service_s=SERVICE_S) as port:
        text = HEAD.format(port=port) + QUEUE.format(limit_ms=(FIRST_S + WAIT_S) * 1e3)
        (tmp_path / "size.yaml").write_text(text)
        with search.start("size.yaml") as child:
            search.wait_for_probes(child, 1)
            child.send_signal(signal.SIGKILL)
        before = search.state()
        child = search.start("--resume", str(search.folder))
        search.wait_for_probes(child, len(before["history"]) + 1)
    output, _ = child.communicate(timeout=60)  # its server is gone
    assert child.returncode == 5, output
    lost = search.state()
    assert lost["history"][: len(before["history"])] == before["history"]
    assert lost["history"][len(before["history"])]["point_id"] == before["asked"]["point_id"], "no orphan is left"
    with _server(tmp_path, port=port, servers=1, service_s=SERVICE_S):
        code, output = search.finish("--resume", str(search.folder))
    _believed(code, output)
    kept, found = search.state(), search.found()
    assert kept["history"][: len(lost["history"])] == lost["history"], "what was measured is not measured again"
    points = [each["point_id"] for each in kept["history"]]
    assert len(set(points)) == len(points)
    assert found["low"] <= edge, output
    assert found["high"] is None or found["high"] > edge, output
    assert found["load"] > edge / 2, output
    assert any((each["purpose"], each["answer"]) == ("confirm", "held") for each in found["probes"])
    page = (search.folder / "report.html").read_text()
    assert "Probes of the search" in page
    assert "error_ratio at most 0.01 (compared as it is, without a test)" in page
    assert "goodput_per_server" in found
    assert "per_gpu" not in (search.folder / "size.json").read_text()


def test_slots_are_counted_exactly(tmp_path: Path) -> None:
    """Four servers and no think time: the fifth user waits, so four in flight is the optimum, and not one more."""
    search = _Search(tmp_path)
    with _server(tmp_path, first_s=SLOT_S, servers=SLOTS, service_s=SLOT_S) as port:
        limit_ms = 1.2 * SLOT_S * 1e3
        counted = COUNTED.format(limit_ms=limit_ms, mode="objectives", resolution=0.05)
        (tmp_path / "size.yaml").write_text(HEAD.format(port=port) + counted)
        code, output = search.finish("size.yaml")
    _believed(code, output)
    found = search.found()
    assert (found["load"], found["high"]) == (SLOTS, SLOTS + 1), output


def test_a_load_far_beyond_the_edge_is_given_up_when_the_test_is_lost(tmp_path: Path) -> None:
    search = _Search(tmp_path)
    with _server(tmp_path, servers=1, service_s=SERVICE_S) as port:
        text = HEAD.format(port=port) + QUEUE.format(limit_ms=(FIRST_S + WAIT_S) * 1e3)
        text = text.replace("lowest: 100, highest: 800", "lowest: 800, highest: 900").replace("w_s: 1,", "w_s: 10,")
        (tmp_path / "size.yaml").write_text(text)
        code, output = search.finish("size.yaml")
    assert code == 1, output
    (measured,) = RunFolder.open(search.folder).manifest().measurements
    assert measured.window_start_ns is not None
    assert measured.drain_end_ns - measured.window_start_ns < 6e9, "the window of 10 s was not waited for"
    (probe,) = search.found()["probes"]
    assert probe["detail"].startswith("stopped: the test was lost: ")
    assert "the lowest load, 800, does not meet the objectives" in output


def test_throughput_stops_growing_where_the_slots_are_full(tmp_path: Path) -> None:
    search = _Search(tmp_path)
    with _server(tmp_path, first_s=SLOT_S, servers=SLOTS, service_s=SLOT_S) as port:
        counted = COUNTED.format(limit_ms=1, mode="throughput", resolution=0.15)
        (tmp_path / "size.yaml").write_text(HEAD.format(port=port) + counted)
        code, output = search.finish("size.yaml")
    _believed(code, output)
    found = search.found()
    assert found["load"] in (SLOTS, 2 * SLOTS), output  # 4 users leave a slot empty for one round trip
    assert [each["load"] for each in found["probes"]][:2] == [2, 4]
    assert max(each["load"] for each in found["probes"]) <= 16
    best = max(found["output_token_throughput_per_server"])
    assert best == pytest.approx(2 * SLOTS / SLOT_S, rel=0.2)
