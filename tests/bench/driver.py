"""The Locust driver's ceilings and timing errors: `python -m tests.bench.driver [CELL …] [--processes N]`.

The truth server runs on one core and the driver on another (with several worker processes the driver takes all others).
Errors compare the driver's records with the server's log, on one clock. Who was the bottleneck is told by the CPU time
of both: whoever used nearly a whole core bounded the cell. Not a test: nothing is asserted, machines differ.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.task import Finished, MeasurementTask
from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import SentRequest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

import planned_tasks

SECOND = planned_tasks.SECOND
MS = 1e6
BUSY_RATIO = 0.85  # of a core: from here on a side counts as the bottleneck


@dataclass(frozen=True)
class Cell:
    """One load. Closed loop with a concurrency, open loop with a rate."""

    behaviour: Behaviour
    output_tokens: int
    seconds: float
    concurrency: int | None = None
    rate: float | None = None
    requests: int = 20_000
    protocol: str = "triton_grpc"


PACED = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01, jitter_s=0.002)
CELLS = {
    "gap-0": Cell(Behaviour(), 200, 5, concurrency=32, requests=8000),
    "gap-0-chunks-of-8": Cell(Behaviour(tokens_per_chunk=8), 400, 5, concurrency=32, requests=60_000),
    "short": Cell(Behaviour(), 1, 5, concurrency=64, requests=100_000),
    "256-streams": Cell(PACED, 100, 8, concurrency=256, requests=4000),
    "256-streams-http": Cell(PACED, 100, 8, concurrency=256, requests=4000, protocol="triton_http"),
    "64-streams": Cell(PACED, 100, 8, concurrency=64, requests=2000),
    "open-100": Cell(PACED, 20, 10, rate=100),
    "open-500": Cell(PACED, 20, 6, rate=500),
}


@dataclass(frozen=True)
class Outcome:
    """What came out of one cell."""

    finished: Finished
    rows: pa.Table
    log: dict[str, SentRequest]
    server_cpu_ratio: float

    def cpu_ratio(self) -> float:
        """CPU seconds of all workers per second of wall time."""
        return sum(worker.cpu_s for worker in self.finished.workers) / self.finished.workers[0].wall_s


def main() -> None:
    """Run the cells that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.driver", description=__doc__)
    parser.add_argument("cells", nargs="*", choices=[*CELLS, []], metavar="CELL", help=", ".join(CELLS))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0, help="on a machine shared with others: -15 (needs root)")
    arguments = parser.parse_args()
    os.nice(arguments.nice)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the server, one for the driver")
    print(f"load average before: {os.getloadavg()[0]:.2f}; server on core {cores[0]}, driver on {cores[1:]}")
    for name in arguments.cells or CELLS:
        for _ in range(arguments.repeat):
            outcome = measure(CELLS[name], cores, arguments.processes)
            print(f"{name:18} {describe(outcome)}", flush=True)
    print(f"load average after: {os.getloadavg()[0]:.2f}")


def measure(cell: Cell, cores: list[int], processes: int) -> Outcome:
    """Run one cell with a server and a driver of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _pinned({cores[0]}), process.start(cell.behaviour, folder / "log") as server:
            with _pinned(set(cores[1:])), LocustDriver(folder / "driver.log", processes) as driver:
                task = _task(cell, folder / "run", server.port if cell.protocol == "triton_grpc" else server.http_port)
                watch = _ServerCpu(server.pid)
                events = [watch.note(event) for event in driver.measure(task, lambda: None)]
            log = {sent.request_id: sent for sent in server.stop()}
        if events[-1].kind != tasks.FINISHED:
            sys.exit(str(events[-1].facts))
        run = RunFolder(folder / "run")
        run.merge_requests([])
        rows = pq.read_table(folder / "run" / "requests.parquet")
        return Outcome(Finished.from_facts(events[-1].facts), rows, log, watch.ratio())


class _ServerCpu:
    """The server's CPU time between the edges of the window."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._edges: list[tuple[float, float]] = []

    def note(self, event: tasks.Event) -> tasks.Event:
        if event.kind in (tasks.WINDOW_OPENS, tasks.WINDOW_CLOSED):
            used = self._process.cpu_times()
            self._edges.append((used.user + used.system, os.times().elapsed))
        return event

    def ratio(self) -> float:
        (cpu, wall), (cpu_end, wall_end) = self._edges
        return (cpu_end - cpu) / (wall_end - wall)


def _task(cell: Cell, folder: Path, port: int) -> MeasurementTask:
    window_ns = int(cell.seconds * SECOND)
    if cell.rate is not None:
        plan: Iterator[dict[str, Any]] = planned_tasks.constant(
            cell.rate, cell.seconds + 3, output_tokens=cell.output_tokens
        )
    else:
        plan = (planned_tasks.row(index, output_tokens=cell.output_tokens) for index in range(cell.requests))
    phases = {"warm_up_ns": SECOND, "window_ns": window_ns}
    return planned_tasks.task(folder, port, plan, concurrency=cell.concurrency, protocol=cell.protocol, **phases)


@contextmanager
def _pinned(cores: set[int]) -> Iterator[None]:
    """Processes started inside run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe(outcome: Outcome) -> str:
    """One line: rates in the window, CPU, errors against the log, lateness, and who was the bottleneck."""
    finished, end_ns, start_ns = outcome.finished, outcome.finished.window_end_ns, outcome.finished.window_start_ns
    assert start_ns is not None
    assert end_ns is not None
    rows = [row for row in outcome.rows.to_pylist() if row["outcome"] == "ok"]
    window_s = (end_ns - start_ns) / SECOND
    stamps = np.concatenate([np.asarray(row["chunk_offsets_ns"]) + row["sent_ns"] for row in rows])
    tokens = np.concatenate([np.asarray(row["chunk_tokens"]) for row in rows])
    inside = (stamps >= start_ns) & (stamps < end_ns)
    cpu_s = sum(worker.cpu_s for worker in finished.workers)
    done = sum(start_ns <= row["done_ns"] < end_ns for row in rows)
    client, server = outcome.cpu_ratio(), outcome.server_cpu_ratio
    flushes = max(worker.flush_ns_max for worker in finished.workers) / MS
    late = [row["sent_ns"] - row["intended_ns"] for row in rows if row["intended_ns"]]
    parts = [
        f"{tokens[inside].sum() / window_s:8.0f} tok/s {done / window_s:7.1f} req/s",
        f"CPU {cpu_s / tokens.sum() * 1e6:5.1f} ms/1k, {cpu_s / len(rows) * 1e6:5.0f} us/req",
        f"TTFT err {_error(rows, outcome.log, _first_token_error)}",
        f"gap err {_error(rows, outcome.log, _gap_errors)}",
        f"late {_spread(late)}",
        f"flush max {flushes:.1f} ms",
        f"client {client:.2f} server {server:.2f}: {_bottleneck(client, server, finished)}",
    ]
    return " | ".join(parts)


def _bottleneck(client: float, server: float, finished: Finished) -> str:
    sides = {"client": client / len(finished.workers), "server": server}
    busy = [side for side, ratio in sides.items() if ratio >= BUSY_RATIO]
    return " and ".join(busy) + "-bound" if busy else "neither is saturated"


def _error(
    rows: list[dict[str, Any]],
    log: dict[str, SentRequest],
    of: Callable[[dict[str, Any], SentRequest], np.ndarray[Any, Any]],
) -> str:
    values = [of(row, log[row["request_id"]]) for row in rows if row["phase"] == "window" and row["chunk_tokens"]]
    return _spread(np.concatenate(values)) if values else "-"


def _first_token_error(row: dict[str, Any], sent: SentRequest) -> np.ndarray[Any, Any]:
    """(client's first token - client's send) - (server's first send - its complete request)."""
    assert sent.first_token_sent_ns is not None
    truth = sent.first_token_sent_ns - sent.request_complete_ns
    return np.asarray([row["first_token_ns"] - row["sent_ns"] - truth])


def _gap_errors(row: dict[str, Any], sent: SentRequest) -> np.ndarray[Any, Any]:
    """|client gap - server gap| for each pair of successive chunks."""
    seen, real = np.asarray(row["chunk_offsets_ns"]), np.asarray(sent.chunk_sent_ns)
    return np.abs(np.diff(seen) - np.diff(real[: len(seen)]))


def _spread(values: Any) -> str:
    """p50/p99 in milliseconds."""
    if not len(values):
        return "-"
    middle, tail = np.percentile(values, [50, 99]) / MS
    return f"{middle:.2f}/{tail:.2f} ms"


if __name__ == "__main__":
    main()
