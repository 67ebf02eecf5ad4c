"""The `calibrate` campaign: what can this load generator carry on this host, and how wrong are its instants here?

It measures the truth server with the same campaign, plan and driver as any run, so what it finds is what runs have.
The truth server is a Python program on the same machine: where it was the limit, a ceiling is a lower bound.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness import clock
from harness.campaigns.calibration_profile import host_key
from harness.campaigns.display import Display
from harness.campaigns.run import RunRequest, run
from harness.campaigns.timing_errors import percentile, timing_level
from harness.measure import host_identity
from harness.records.calibration import Calibration, Ceiling, SendLateness, TimingLevel
from harness.records.manifest import Manifest, Measurement
from harness.scenario import loader
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import SentRequest

STREAMS = (1, 16, 64, 256)
GAP_S = 0.01
PACED = Behaviour(time_to_first_token_s=0.05, inter_token_s=GAP_S)
AT_ONCE = Behaviour()
CEILING_STREAMS = 64
CLIENT_BOUND = 0.9  # of a core: from here on the load generator is the limit
OPEN_LOOP_RATES = (20.0, 100.0)
SCENARIO = """\
version: 1
name: calibrate
target: {{attach: {{name: truth, url: "{address}"}}}}
workload: {{input_tokens: 16, output_tokens: {output_tokens}}}
load: {load}
phases: {{warm_up_s: 1, window_s: {window_s}, drain_limit_s: 5}}
request: {{timeout_s: 30}}
telemetry: {{nvml: false, metrics: false, statistics: false, host: false}}
"""


@dataclass(frozen=True)
class Measured:
    """One run against a truth server."""

    manifest: Manifest
    rows: list[dict[str, Any]]
    log: dict[str, SentRequest]

    def of(self, measurement: Measurement) -> list[dict[str, Any]]:
        """The rows of a measurement's cohort."""
        return [r for r in self.rows if r["point_id"] == measurement.point_id and r["phase"] == "window"]


def calibrate(display: Display, *, window_s: float = 6.0, streams: tuple[int, ...] = STREAMS) -> Calibration:
    """Measure this host; takes one to two minutes with the default window. Raises what `run` raises."""
    host = host_identity.describe()
    with tempfile.TemporaryDirectory(prefix="harness-calibrate-") as folder:
        work = _Workbench(Path(folder), window_s, display)
        display.step(f"timing errors at {', '.join(map(str, streams))} streams")
        timing = _timing(work, streams)
        display.step("ceilings: tokens per second, requests per second")
        ceilings = [_ceiling(work, "output_tokens", 200), _ceiling(work, "requests", 1)]
        display.step("send lateness in an open loop")
        lateness = _send_lateness(work)
    return Calibration(
        host_key=host_key(host),
        harness_version=harness.__version__,
        measured_wall_ns=clock.anchor().wall_ns,
        protocol="triton_grpc",
        host=host,
        timing=timing,
        ceilings=ceilings,
        send_lateness=lateness,
        streams_per_process=max((t.streams for t in timing if t.gap_error_p99_ns <= GAP_S * 1e9), default=None),
    )


class _Workbench:
    """Runs scenarios against fresh truth servers, each into a run folder that is thrown away."""

    def __init__(self, folder: Path, window_s: float, display: Display) -> None:
        self._folder = folder
        self._window_s = window_s
        self._display = display
        self._number = 0

    def measure(self, behaviour: Behaviour, load: str, output_tokens: int, *, with_log: bool = False) -> Measured:
        """One run. `load`: the scenario's load as YAML."""
        self._number += 1
        own = self._folder / str(self._number)
        own.mkdir()
        with process.start(behaviour, own / "truth.log") as server:
            text = SCENARIO.format(
                address=server.address, output_tokens=output_tokens, load=load, window_s=self._window_s
            )
            loaded = loader.load_text(text, own / "calibrate.yaml")
            done = run(RunRequest(loaded, own / "runs", ["harness", "calibrate"]), self._display)
            log = {sent.request_id: sent for sent in server.stop()} if with_log else {}
        columns = ["point_id", "phase", "request_id", "outcome", "intended_ns", "sent_ns", "first_token_ns"]
        columns += ["chunk_offsets_ns"] if with_log else []
        return Measured(done.manifest(), done.requests().select(columns).to_pylist(), log)


def _timing(work: _Workbench, streams: tuple[int, ...]) -> list[TimingLevel]:
    load = f"{{kind: closed_loop, concurrency: {list(streams)}, max_requests: 8000}}"
    measured = work.measure(PACED, load, output_tokens=50, with_log=True)
    concurrency = {point.point_id: point.concurrency or 0 for point in measured.manifest.points}
    levels = [
        timing_level(concurrency[m.point_id], measured.of(m), measured.log, _cpu_ratio(m))
        for m in measured.manifest.measurements
    ]
    return sorted((level for level in levels if level is not None), key=lambda level: level.streams)


def _ceiling(work: _Workbench, what: str, output_tokens: int) -> Ceiling:
    load = f"{{kind: closed_loop, concurrency: {CEILING_STREAMS}, max_requests: 60000}}"
    measured = work.measure(AT_ONCE, load, output_tokens)
    (measurement,) = measured.manifest.measurements
    rate = _requests_per_s(measured, measurement) * (output_tokens if what == "output_tokens" else 1)
    share = _cpu_ratio(measurement)
    return Ceiling(what, rate, share, "client" if share >= CLIENT_BOUND else "server")


def _requests_per_s(measured: Measured, m: Measurement) -> float:
    """Requests of the window that ended well, per second of it."""
    if m.window_start_ns is None or m.window_end_ns is None:
        return 0.0
    good = sum(row["outcome"] == "ok" for row in measured.of(m))
    return float(good / ((m.window_end_ns - m.window_start_ns) / 1e9))


def _cpu_ratio(m: Measurement) -> float:
    return max((worker.cpu_s / worker.wall_s for worker in m.workers if worker.wall_s > 0), default=0.0)


def _send_lateness(work: _Workbench) -> list[SendLateness]:
    """The lateness at each rate."""
    rates = ", ".join(map(str, OPEN_LOOP_RATES))
    load = f"{{kind: open_loop, arrivals: {{process: poisson, request_rate_per_s: [{rates}]}}}}"
    measured = work.measure(PACED, load, output_tokens=10)
    rate_of = {point.point_id: point.request_rate_per_s or 0.0 for point in measured.manifest.points}
    found = [_lateness(rate_of[m.point_id], measured.of(m)) for m in measured.manifest.measurements]
    return sorted(found, key=lambda level: level.request_rate_per_s)


def _lateness(rate: float, rows: list[dict[str, Any]]) -> SendLateness:
    late = [row["sent_ns"] - row["intended_ns"] for row in rows if row["sent_ns"] is not None]
    values = np.asarray(late, dtype=np.float64)
    return SendLateness(rate, percentile(values, 500), percentile(values, 990))
