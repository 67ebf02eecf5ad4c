"""How long the right half takes, and how much memory: `python -m tests.bench_metrics [requests] [chunks] [--report]`.

Not a test. Writes a run folder with one repetition into a temporary directory, then reads, summarises and judges it
in a process of its own, so that the peak of memory is that of the right half alone. With `--report` it also writes
report.html, summary.md and requests.csv: what `harness report` does.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.assess.assess import assess
from harness.assess.files import write_files
from harness.records.schemas import REQUESTS, ROW_GROUP_ROWS
from harness.records.store import RunFolder
from harness.report.writer import view_of, write_all
from tests.oracle.runs import T0, manifest, measurement, row

SECOND = 10**9


def write_run(path: Path, requests: int, chunks: int) -> None:
    """One repetition of `requests` requests over 1,000 s, `chunks` chunks each, 1% failures."""
    folder = RunFolder.create(path)
    window = {
        "window_start_ns": T0 + 10 * SECOND,
        "window_end_ns": T0 + 990 * SECOND,
        "drain_end_ns": T0 + 1010 * SECOND,
    }
    folder.write_manifest(manifest([measurement(requests, start_ns=T0, **window)]))
    rng = np.random.default_rng(1)
    with pq.ParquetWriter(path / "requests.parquet", REQUESTS, compression="zstd") as writer:
        for first in range(0, requests, ROW_GROUP_ROWS):
            writer.write_table(_rows(rng, first, min(ROW_GROUP_ROWS, requests - first), requests, chunks))


def _rows(rng: np.random.Generator, first: int, n: int, requests: int, chunks: int) -> pa.Table:
    sent = T0 + (np.arange(first, first + n) * 1000 * SECOND) // requests
    offsets = np.cumsum(rng.integers(5_000_000, 15_000_000, (n, chunks)), axis=1)
    failed = rng.random(n) < 0.01
    phase = np.where(sent < T0 + 10 * SECOND, "warm_up", np.where(sent < T0 + 990 * SECOND, "window", "drain"))
    varying = {
        "index": np.arange(first, first + n),
        "sent_ns": sent,
        "first_token_ns": sent + offsets[:, 0],
        "last_token_ns": sent + offsets[:, -1],
        "done_ns": sent + offsets[:, -1] + 100_000,
        "outcome": np.where(failed, "bad_stream", "ok"),
        "phase": phase,
    }
    fixed = {**row(0), "output_tokens_asked": chunks, "output_tokens_client": None, "output_tokens_server": chunks}
    ends = pa.array(np.arange(n + 1) * chunks, pa.int32())
    lists = {
        "chunk_offsets_ns": pa.ListArray.from_arrays(ends, pa.array(offsets.ravel())),
        "chunk_tokens": pa.ListArray.from_arrays(ends, pa.array(np.ones(n * chunks, np.int32))),
    }
    varied = {name: pa.array(values, REQUESTS.field(name).type) for name, values in varying.items()}
    constant = {f.name: pa.array([fixed.get(f.name)] * n, f.type) for f in REQUESTS if f.name not in varied | lists}
    arrays = [(constant | varied | lists)[name] for name in REQUESTS.names]
    return pa.Table.from_arrays(arrays, schema=REQUESTS)


def assess_once(path: Path, *, report: bool) -> None:
    """Read, assess, write, and render when asked; prints seconds by step and the peak of resident memory."""
    started = time.perf_counter()
    folder = RunFolder.open(path)
    assessment = assess(folder)
    write_files(folder, assessment)
    _say("assessed", started)
    if report:
        view = view_of(folder, assessment)
        _say("viewed", started)
        write_all(folder, view)
        _say("written", started)
    (validity,) = assessment.validity.values()
    print(validity.status)


def _say(what: str, started: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    cpu = time.process_time()  # of both cores, and no matter who else is busy
    wall = time.perf_counter() - started
    print(f"{what} after {wall:.1f} s (CPU {cpu:.1f} s), peak {peak:.2f} GiB; ", end="", flush=True)


def main() -> None:
    report = "--report" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--report"]
    if words[:1] == ["--assess"]:
        assess_once(Path(words[1]), report=report)
        return
    requests, chunks = (int(word) for word in (*words, *("200000", "100")[len(words) :])[:2])
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "run"
        write_run(path, requests, chunks)
        print(f"{requests:,} requests x {chunks} chunks: ", end="", flush=True)
        command = [sys.executable, "-m", "tests.bench_metrics", "--assess", str(path), *["--report"] * report]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
