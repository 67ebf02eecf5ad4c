"""A small open-loop run folder, CONSTRUCTED: no server was measured. The same bytes at every call.

Poisson arrivals at three rates for a toy server with `SLOTS` slots: the first two rates it carries, the third it does
not, so that requests in flight grow through the window. A few arrivals leave late. With `tenants` one point of two
tenants instead, whose requests are turns of conversations. A calibration, results of another tool and a cross-check
lie in the folder.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fixture_run import MS, START_NS, S, write_fixture_run
from fixture_run import Options as ClosedOptions

from harness.records import calibration, foreign
from harness.records.calibration import Calibration, Ceiling, SendLateness, TimingLevel
from harness.records.foreign import ForeignResult, ForeignValue
from harness.records.manifest import Manifest, Measurement, Point, WorkerReport
from harness.records.schemas import REQUESTS, TELEMETRY, request_id
from harness.records.store import RunFolder

WARM_UP_NS, WINDOW_NS, DRAIN_NS, PAUSE_NS = 2 * S, 20 * S, 4 * S, 500 * MS
RATES = (5.0, 10.0, 30.0)
SLOTS, TOKENS, INPUT_TOKENS = 6, 12, 96
STEP_NS, PREFILL_NS = 18 * MS, 30 * MS  # about 24 requests/s with every slot busy
TENANTS = ("batch", "chat")

_HEAD = """\
version: 1
name: constructed-open-loop
description: Constructed for tests and for the sample report. No server was measured.
target: {engine: cpu-tiny}
workload: {input_tokens: 96, output_tokens: 12}
"""
_TAIL = """\
phases: {warm_up_s: 2, window_s: 20, drain_limit_s: 4}
request: {timeout_s: 20}
seed: 11
objectives:
  - {metric: time_to_first_token, statistic: p95, at_most_ms: 400}
  - {metric: request_latency, at_most_ms: 1000}
"""
ONE_CLIENT = "load: {kind: open_loop, arrivals: {process: poisson, request_rate_per_s: [5, 10, 30]}}\n"
TWO_TENANTS = """\
load:
  kind: multi_tenant
  tenants:
    - {name: batch, arrivals: {process: poisson, request_rate_per_s: 4}}
    - name: chat
      arrivals: {process: poisson, request_rate_per_s: 6}
      objectives: [{metric: time_to_first_token, at_most_ms: 100}]
"""


@dataclass(frozen=True)
class Options:
    """What to vary. `beside`: calibration, foreign results and a cross-check lie in the folder."""

    tenants: bool = False
    beside: bool = True
    stopped_saturated: bool = False  # the highest rate was stopped by its own rule


def write_open_loop_run(path: Path, options: Options | None = None) -> RunFolder:
    """The run folder at `path` (which must not exist)."""
    options = options or Options()
    source = random.Random(20260201)
    closed = write_fixture_run(path.with_name(f"{path.name}-closed"), ClosedOptions(concurrencies=(1,), repetitions=1))
    folder = RunFolder.create(path)
    rates = (10.0,) if options.tenants else RATES
    points = [_point(rate, tenants=options.tenants) for rate in rates]
    measurements, rows, at_ns = [], list[dict[str, Any]](), START_NS
    for point in points:
        stopped = options.stopped_saturated and point is points[-1]
        own = _requests(point, at_ns, source, tenants=options.tenants)
        rows += own
        measurements.append(_measurement(point, at_ns, len(own), stopped=stopped))
        at_ns += WARM_UP_NS + WINDOW_NS + DRAIN_NS + PAUSE_NS
    folder.write_manifest(_manifest(closed.manifest(), points, measurements, options))
    table = pa.Table.from_pylist(rows, schema=REQUESTS)
    pq.write_table(table.sort_by([("point_id", "ascending"), ("index", "ascending")]), path / "requests.parquet")
    pq.write_table(TELEMETRY.empty_table(), path / "telemetry.parquet")
    if options.beside:
        _write_beside(folder)
    return folder


def _point(rate: float, *, tenants: bool) -> Point:
    return Point(
        point_id="all-tenants" if tenants else f"all-r{rate:g}",
        deployment_id="cpu-tiny",
        workload="all",
        load_kind="open_loop",
        concurrency=None,
        request_rate_per_s=rate,
        repetitions=1,
        max_requests=1_000,
        input_tokens_mean=float(INPUT_TOKENS),
        output_tokens_mean=float(TOKENS),
    )


def _requests(point: Point, start_ns: int, source: random.Random, *, tenants: bool) -> list[dict[str, Any]]:
    """Every arrival up to the end of the drain, served by the first slot that is free, in order."""
    assert point.request_rate_per_s is not None
    rows: list[dict[str, Any]] = []
    end_ns = start_ns + WARM_UP_NS + WINDOW_NS + DRAIN_NS
    free = [start_ns] * SLOTS
    intended = start_ns + round(source.expovariate(point.request_rate_per_s) * S)
    while intended < end_ns:
        lag = round(source.uniform(60_000, 300_000)) + (20 * MS if source.random() < 0.004 else 0)
        sent = intended + lag
        begins = max(sent, heapq.heappop(free))
        first = begins + PREFILL_NS + source.randrange(4 * MS)
        chunks = [first + step * STEP_NS + source.randrange(2 * MS) for step in range(TOKENS)]
        heapq.heappush(free, chunks[-1])
        rows.append(_row(point, len(rows), intended, sent, chunks, start_ns, end_ns, tenants=tenants))
        intended += round(source.expovariate(point.request_rate_per_s) * S)
    return rows


def _row(
    point: Point, index: int, intended: int, sent: int, chunks: list[int], start_ns: int, end_ns: int, *, tenants: bool
) -> dict[str, Any]:
    opens = start_ns + WARM_UP_NS
    phase = "warm_up" if intended < opens else "window" if intended < opens + WINDOW_NS else "drain"
    arrived = [chunk for chunk in chunks if chunk < end_ns]
    done = len(arrived) == len(chunks)
    turn = (index // 10) % 3
    return {
        "point_id": point.point_id,
        "repetition": 0,
        "arm": None,
        "index": index,
        "request_id": request_id(point.point_id, None, 0, index),
        "phase": phase,
        "workload_part": "all",
        "tenant": TENANTS[index % 5 > 1] if tenants else "default",
        "session_id": f"s{index // 30}-{index % 10}" if tenants else None,
        "turn": turn if tenants else None,
        "intended_ns": intended,
        "sent_ns": sent,
        "first_token_ns": arrived[0] if arrived else None,
        "last_token_ns": arrived[-1] if arrived else None,
        "done_ns": chunks[-1] + 100_000 if done else end_ns,
        "outcome": "ok" if done else "timeout",
        "error": None if done else "no final response before the end of the drain",
        "input_tokens_asked": INPUT_TOKENS * (1 + (turn if tenants else 0)),
        "input_tokens_client": INPUT_TOKENS * (1 + (turn if tenants else 0)),
        "input_tokens_server": INPUT_TOKENS * (1 + (turn if tenants else 0)) if done else None,
        "output_tokens_asked": TOKENS,
        "output_tokens_server": TOKENS if done else None,
        "chunk_offsets_ns": [chunk - sent for chunk in arrived],
        "chunk_tokens": [1] * len(arrived),
        "worker": 0,
        "connection_reused": True,
    }


def _measurement(point: Point, start_ns: int, rows: int, *, stopped: bool) -> Measurement:
    opens = start_ns + WARM_UP_NS
    end_ns = opens + WINDOW_NS + DRAIN_NS
    worker = WorkerReport(0, 2.1, 26.0, rows, 0, 3 * MS, 180_000, 900_000)
    return Measurement(
        point_id=point.point_id,
        repetition=0,
        arm=None,
        attempt=1,
        complete=True,
        ended="stopped_saturated" if stopped else "window_over",
        start_ns=start_ns,
        window_start_ns=opens,
        window_end_ns=opens + WINDOW_NS,
        drain_end_ns=end_ns,
        taken=rows,
        never_taken=0,
        records_expected=rows,
        workers=[worker],
    )


def _manifest(closed: Manifest, points: list[Point], measurements: list[Measurement], options: Options) -> Manifest:
    return dataclasses.replace(
        closed,
        run_id="20260201T000000Z-constructed-open-loop-00000000",
        command_line=["harness", "run", "constructed-open-loop"],
        scenario_name="constructed-open-loop",
        scenario_text=_HEAD + (TWO_TENANTS if options.tenants else ONE_CLIENT) + _TAIL,
        scenario_file="scenarios/constructed-open-loop.yaml",
        seed=11,
        points=points,
        measurements=measurements,
        telemetry_not_available={
            "nvml": "no NVIDIA GPU on this host",
            "prometheus": "constructed",
            "host": "constructed",
        },
        notes=["constructed: written by tests/golden/open_loop_run.py, no server was measured"],
    )


def _write_beside(folder: RunFolder) -> None:
    profile = Calibration(
        host_key="constructed",
        harness_version="0.0.0+constructed",
        measured_wall_ns=1_767_225_600 * S,
        protocol="triton_grpc",
        host={},
        timing=[
            TimingLevel(1, 150_000, 400_000, 300_000, 0.02, 500),
            TimingLevel(16, 250_000, 900_000, 700_000, 0.2, 500),
        ],
        ceilings=[Ceiling("output_tokens", 52_000, 0.97, "client"), Ceiling("requests", 6_100, 0.96, "client")],
        send_lateness=[SendLateness(10, 120_000, 600_000), SendLateness(100, 180_000, 800_000)],
        streams_per_process=256,
    )
    folder.write_text(calibration.FILE, calibration.to_json(profile))
    foreign.add(
        folder,
        ForeignResult(
            tool="trtllm-bench",
            level="engine",
            source="constructed-report.json",
            sha256="0" * 64,
            values=[
                ForeignValue("performance.request_throughput_req_s", 25.1, "1/s", "request_throughput"),
                ForeignValue("performance.avg_request_latency_ms", 231.7, "ms", "request_latency_from_send"),
            ],
            facts={"engine.model": "constructed", "world_info.tp_size": "1"},
            notes=["constructed, never seen from the tool"],
        ),
    )
    folder.write_text("cross_check.json", json.dumps({"points": [_checked()]}))


def _checked() -> dict[str, Any]:
    def seen(value: float, half: float, error: float) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half, "error": error}

    first = {"metric": "time_to_first_token_from_send", "unit": "ns"}
    rate = {"metric": "request_throughput", "unit": "per_s", "statistic": "value"}
    wide = "the intervals are too wide: measure longer"
    values = [
        {
            **first,
            "statistic": "p50",
            "verdict": "agree",
            "left": seen(32e6, 4e5, 3e5),
            "right": seen(32.2e6, 5e5, 4e5),
        },
        {**first, "statistic": "p99", "verdict": "cannot tell", "left": seen(98e6, 3e7, 5e6), "right": None},
        {**rate, "verdict": "agree", "left": seen(10.0, 0.2, 0.0), "right": seen(9.9, 0.2, 0.0)},
    ]
    reasons = {"agree": "", "cannot tell": wide}
    return {
        "point_id": "all-r10",
        "verdict": "agree",
        "values": [{**value, "reason": reasons[str(value["verdict"])]} for value in values],
    }
