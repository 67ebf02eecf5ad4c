"""perf_analyzer's command line and its file of intervals. Pure.

Its request-rate mode is not used (it draws its own arrivals), nor are its measurement windows: `--request-count` makes
it send exactly so many requests and export every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.drivers.task import MeasurementTask, TlsFiles

NS_PER_US = 1_000


def command(
    task: MeasurementTask, binary: Path, *, inputs: Path, export: Path, requests: int, intervals: Path | None
) -> list[str]:
    """The arguments for `requests` requests; `intervals` in an open loop, concurrency in a closed one."""
    address = f"[{task.address.host}]" if ":" in task.address.host else task.address.host
    load = ["--concurrency-range", str(task.concurrency)]
    if intervals is not None:
        load = ["--request-intervals", str(intervals)]
    return [
        *(str(binary), "-m", task.model, "-u", f"{address}:{task.address.port}"),
        *("-i", "grpc", "--streaming", "--async", "--max-threads", "1"),
        *("--input-data", str(inputs), "--profile-export-file", str(export)),
        *("--request-count", str(requests), *load, *_tls(task.address.tls)),
    ]


def intervals_us(offsets_ns: Sequence[int]) -> list[int]:
    """The intervals whose sums are the offsets, in µs: rounding is done on the sums, so that it does not add up."""
    instants = [round(offset / NS_PER_US) for offset in offsets_ns]
    return [after - before for before, after in zip([0, *instants], instants, strict=False)]


def _tls(tls: TlsFiles | None) -> list[str]:
    if tls is None:
        return []
    named = {
        "root-certifications": tls.ca_file,
        "private-key": tls.key_file,
        "certificate-chain": tls.cert_file,
    }
    options = ["--ssl-grpc-use-ssl"]
    for name, path in named.items():
        options += [] if path is None else [f"--ssl-grpc-{name}-file", path]
    return options
