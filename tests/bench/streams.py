"""How many streamed tokens one driver process takes: `python -m tests.bench.streams [seconds] [--only PROTOCOL]`.

Not a test. A server that sends as fast as it can, pinned to one core; the driver, with everything it does in a run
(records included), on the other. Each row says what the client's CPU cost per 1,000 tokens, how many tokens one `recv`
brought (a client that is late finds several), and how busy both cores were: the one that is full bounds the row. Where
neither is, the machine was busy with something else. Where there is a C compiler, the compiled servers of `tests/truth`
are built and measured too: one packet per token only they keep up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.task import Finished
from harness.records.store import RunFolder
from harness.truth.behaviour import Behaviour
from tests.integration import truth_target

STREAMS, TOKENS = 32, 200
FULL = 0.85  # share of a core
SOURCES = Path(__file__).parents[1] / "truth"
NATIVE = {"triton_grpc": "grpc_stream", "triton_http": "http_stream"}  # protocol → compiled server
INPUTS = {
    "triton_grpc": truth_target.TEXT_INPUTS,
    "triton_http": {"text_input": "BYTES", "max_tokens": "INT32", "stream": "BOOL"},
    "openai_chat": {"text_input": "BYTES"},
}


@dataclass(frozen=True)
class Row:
    """One measurement; shares are of one core."""

    name: str
    tokens_per_s: float
    tokens_per_recv: float
    client_ms_per_1k: float
    client_busy: float
    server_busy: float

    @property
    def text(self) -> str:
        """A line of the table."""
        full = max(self.server_busy, self.client_busy) > FULL
        bound = "neither" if not full else "server" if self.server_busy > self.client_busy else "client"
        rates = f"{self.tokens_per_s:,.0f} | {self.tokens_per_recv:.1f} | {self.client_ms_per_1k:.1f}"
        return f"| {self.name} | {rates} | {self.client_busy:.2f} | {self.server_busy:.2f} | {bound} |"


@contextmanager
def _server(protocol: str, native: Path | None, per_packet: int) -> Iterator[tuple[int, psutil.Process]]:
    behaviour = Behaviour(chunks_per_packet=per_packet)
    command = [sys.executable, "-m", "harness.truth", "--stop-with-stdin", "--behaviour", behaviour.to_json()]
    if native is not None:
        command = [str(native), str(per_packet)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as child:
        try:
            assert child.stdout is not None
            port = json.loads(child.stdout.readline())["port" if protocol == "triton_grpc" else "http_port"]
            process = psutil.Process(child.pid)
            process.cpu_affinity([os.cpu_count() - 1 if (os.cpu_count() or 1) > 1 else 0])
            yield port, process
        finally:
            child.terminate()
            child.wait(20)


def measure(protocol: str, per_packet: int, seconds: float, native: Path | None = None) -> Row:
    """One row."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _server(protocol, native, per_packet) as (port, server),
        LocustDriver(Path(folder) / "driver.log") as driver,
    ):
        for process in (load := psutil.Process(driver.pid), *load.children(recursive=True)):
            process.cpu_affinity([0])
        given = truth_target.scenario(STREAMS, TOKENS, max_requests=int(4000 * seconds))
        task = truth_target.task(
            Path(folder) / "run",
            port,
            given,
            protocol=protocol,
            inputs=INPUTS[protocol],
            warm_up_ns=500_000_000,
            window_ns=int(seconds * 1e9),
        )
        kind = "compiled server" if native else "truth server"
        return _row(f"{protocol}, {per_packet} per packet, {kind}", driver, task, server)


def _row(name: str, driver: LocustDriver, task: tasks.MeasurementTask, server: psutil.Process) -> Row:
    edges: dict[str, tuple[float, float]] = {}
    finished: Finished | None = None
    for event in driver.measure(task, lambda: None):
        if event.kind in (tasks.WINDOW_OPENS, tasks.WINDOW_CLOSED):
            times = server.cpu_times()
            edges[event.kind] = time.monotonic(), times.user + times.system
        elif event.kind == tasks.FINISHED:
            finished = Finished.from_facts(event.facts)
        elif event.kind == tasks.FAILED:
            raise RuntimeError(event.facts["message"])
    assert finished is not None
    RunFolder(Path(task.run_folder)).merge_requests([])
    rows = pq.read_table(Path(task.run_folder) / "requests.parquet").to_pylist()
    assert {row["outcome"] for row in rows} <= {"ok", "cancelled"}, rows[0]["error"]
    start, end = finished.window_start_ns or 0, finished.window_end_ns or 0
    stamps = [row["sent_ns"] + offset for row in rows for offset in row["chunk_offsets_ns"]]
    received = sum(len(set(row["chunk_offsets_ns"])) for row in rows)
    inside = sum(start <= stamp < end for stamp in stamps)
    cpu_s, wall_s = (sum(getattr(worker, name) for worker in finished.workers) for name in ("cpu_s", "wall_s"))
    (opened, used_before), (closed, used) = edges[tasks.WINDOW_OPENS], edges[tasks.WINDOW_CLOSED]
    return Row(
        name=name,
        tokens_per_s=inside / ((end - start) / 1e9),
        tokens_per_recv=len(stamps) / received,
        client_ms_per_1k=cpu_s * 1e6 / len(stamps),
        client_busy=cpu_s / wall_s,
        server_busy=(used - used_before) / (closed - opened),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=4.0)
    parser.add_argument("--only", nargs="+", choices=list(INPUTS), default=list(INPUTS))
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    columns = ("what", "tokens/s", "tokens per recv", "client CPU ms/1,000", "client busy", "server busy", "bound by")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for protocol in arguments.only:
            for native in (None, _built(protocol, Path(folder))) if _can_build(protocol) else (None,):
                for per_packet in (1, 8) * arguments.repeat:
                    print(measure(protocol, per_packet, arguments.seconds, native).text, flush=True)


def _can_build(protocol: str) -> bool:
    return protocol in NATIVE and shutil.which("cc") is not None


def _built(protocol: str, folder: Path) -> Path:
    built = folder / NATIVE[protocol]
    subprocess.run(["cc", "-O2", "-o", built, SOURCES / f"{built.name}.c"], check=True, timeout=60)
    return built


if __name__ == "__main__":
    main()
