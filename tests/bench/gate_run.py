"""How long the gate of one run takes: `python -m tests.bench.gate_run [requests] [chunks]`.

Not a test. Two recorded runs of so many requests (100,000 by default): one is accepted five times over, as a baseline
needs, the other is judged by `harness gate run`, called as a pipeline does, in a process of its own. Prints seconds;
both together should stay below LIMIT_S.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench_metrics import write_run

REQUESTS, CHUNKS = 100_000, 64
LIMIT_S = 10.0
HARNESS = [sys.executable, "-m", "harness.cli.main"]


def timed(folder: Path, *arguments: str) -> tuple[float, int]:
    """Seconds and exit code of a `harness` command."""
    started = time.perf_counter()
    done = subprocess.run([*HARNESS, *arguments], cwd=folder, check=False, timeout=300)
    return time.perf_counter() - started, done.returncode


def recorded(folder: Path, name: str, requests: int, chunks: int) -> str:
    """A run folder of that name, whose id is the name."""
    write_run(folder / "new", requests, chunks)
    return named(folder / "new", name)


def named(run: Path, name: str) -> str:
    """The same run under another name."""
    manifest = run.rename(run.with_name(name)) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "run_id": name}))
    return name


def main() -> None:
    requests, chunks = (int(word) for word in (*sys.argv[1:], *map(str, (REQUESTS, CHUNKS)[len(sys.argv) - 1 :])))
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        accepted, judged = (recorded(folder, name, requests, chunks) for name in ("accepted", "judged"))
        accept_s, code = timed(folder, "baseline", "accept", accepted, "--reason", "the first")
        if code:
            sys.exit(f"baseline accept ended with {code}")
        for number in range(2, 6):  # five are needed before anything is judged
            accepted = named(folder / accepted, f"accepted-{number}")
            timed(folder, "baseline", "accept", accepted, "--reason", "another")
        gate_s, code = timed(folder, "gate", "run", judged)
    print(f"\n{requests:,} requests x {chunks} chunks: accept {accept_s:.1f} s, gate run {gate_s:.1f} s (exit {code})")
    print(f"both recorded runs together: {accept_s + gate_s:.1f} s; the limit is {LIMIT_S:g} s")


if __name__ == "__main__":
    main()
