"""A small but rich run folder, CONSTRUCTED: no server was measured. The same bytes at every call.

Two workloads × four concurrency levels × two repetitions of a toy batching server: a step serves up to `MAX_BATCH_SIZE`
requests, a prompt costs time when it enters. Some requests fail, one point ran out of planned requests (SUSPECT), one
lost records (INVALID). Only `random.Random` is used, whose sequence Python guarantees.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.clock import Anchor
from harness.records.manifest import MANIFEST_VERSION, Deployment, Manifest, Measurement, Point, WorkerReport
from harness.records.schemas import REQUESTS, TELEMETRY, request_id
from harness.records.store import PartWriter, RunFolder, requests_part_labels

MS = 1_000_000
S = 1_000_000_000
START_NS = 1_000 * S
WALL_START_NS = 1_767_225_600 * S  # 2026-01-01 00:00:00 UTC
WARM_UP_NS, WINDOW_NS, TIMEOUT_NS, PAUSE_NS = 2 * S, 15 * S, 4 * S, 400 * MS
MAX_BATCH_SIZE = 8
KV_BLOCKS, TOKENS_PER_BLOCK = 512, 32
CONCURRENCIES = (1, 4, 8, 16)
WORKLOADS = (("short", 64, 7), ("long", 512, 20))  # name, input tokens, output tokens
SUSPECT_POINT, INVALID_POINT = "long-c4", "long-c16"

SCENARIO_TEXT = """\
version: 1
name: constructed-sweep
description: Constructed for tests and for the sample report. No server was measured.
target: {engine: cpu-tiny}
workload:
  - {name: short, input_tokens: 64, output_tokens: {distribution: uniform, min_tokens: 5, max_tokens: 9}}
  - {name: long, input_tokens: 512, output_tokens: {distribution: uniform, min_tokens: 14, max_tokens: 26}}
load: {kind: closed_loop, concurrency: [1, 4, 8, 16]}
phases: {warm_up_s: 2, window_s: 15, drain_limit_s: 4}
request: {timeout_s: 4}
repetitions: 2
seed: 7
objectives:
  - {metric: time_to_first_token, statistic: p90, at_most_ms: 400}
  - {metric: request_latency, at_most_ms: 1500}
  - {metric: output_token_throughput, at_least_per_s: 60}
  - {metric: error_ratio, at_most_ratio: 0.01}
"""


@dataclass(frozen=True)
class Options:
    """What to vary: `gpu` adds constructed GPU telemetry, `telemetry` any at all; `every_request_fails` as it says."""

    gpu: bool = False
    telemetry: bool = True
    concurrencies: tuple[int, ...] = CONCURRENCIES
    workloads: tuple[tuple[str, int, int], ...] = WORKLOADS
    repetitions: int = 2
    every_request_fails: bool = False
    interrupted: bool = False  # Ctrl-C in the window of the last repetition
    tokens_per_chunk: int = 1
    max_batch_size: int = MAX_BATCH_SIZE


@dataclass
class _Call:
    """One request on its way through the toy server."""

    index: int
    sent_ns: int
    input_tokens: int
    output_tokens: int
    chunk_ns: list[int] = field(default_factory=list)
    done_ns: int | None = None
    outcome: str = "ok"


@dataclass(frozen=True)
class _Repetition:
    """One simulated repetition: its requests and (time, active, waiting, used KV blocks) after each step."""

    calls: list[_Call]
    steps: list[tuple[int, int, int, int]]
    start_ns: int
    end_ns: int


def write_fixture_run(path: Path, options: Options | None = None) -> RunFolder:
    """The run folder at `path` (which must not exist)."""
    options = options or Options()
    folder = RunFolder.create(path)
    source, noise = random.Random(20260101), random.Random(20260102)
    points = [_point(w, c, options) for w in options.workloads for c in options.concurrencies]
    manifest = _manifest(points, options)
    at_ns, telemetry = START_NS, []
    for ordinal, point in enumerate(points):
        for repetition in range(options.repetitions):
            run = _simulate(point, at_ns, source, options)
            last = ordinal == len(points) - 1 and repetition == options.repetitions - 1
            measurement = _measurement(point, repetition, run, interrupted=options.interrupted and last)
            rows = [_row(point, repetition, call, measurement, options) for call in run.calls]
            _write_requests(folder, ordinal, repetition, rows)
            manifest = manifest.with_measurement(measurement)
            if options.telemetry:
                telemetry += _telemetry(run, noise, options)
            at_ns = run.end_ns + PAUSE_NS
    folder.write_manifest(manifest)
    folder.merge_requests(manifest.measurements)
    table = pa.Table.from_pylist(telemetry, schema=TELEMETRY) if telemetry else TELEMETRY.empty_table()
    pq.write_table(table.sort_by("time_ns"), folder.path / "telemetry.parquet")
    return folder


def _point(workload: tuple[str, int, int], concurrency: int, options: Options) -> Point:
    name, input_tokens, output_tokens = workload
    return Point(
        point_id=f"{name}-c{concurrency}",
        deployment_id="cpu-tiny",
        workload=name,
        load_kind="closed_loop",
        concurrency=concurrency,
        request_rate_per_s=None,
        repetitions=options.repetitions,
        max_requests=100_000,
        input_tokens_mean=float(input_tokens),
        output_tokens_mean=float(output_tokens),
    )


def _simulate(point: Point, start_ns: int, source: random.Random, options: Options) -> _Repetition:
    """Users send, the toy server steps, until the window is over and nobody waits for an answer."""
    assert point.concurrency is not None
    close_ns, now = start_ns + WARM_UP_NS + WINDOW_NS, start_ns
    calls: list[_Call] = []
    waiting: list[_Call] = []
    active: list[_Call] = []
    steps: list[tuple[int, int, int, int]] = []
    failing: list[_Call] = []
    idle = point.concurrency
    while True:
        for call in [c for c in failing if c.done_ns is not None and c.done_ns <= now]:
            failing.remove(call)
            idle += 1
        while idle and (now < close_ns or any(_in_cohort(c, close_ns) for c in [*waiting, *active, *failing])):
            call = _Call(len(calls), now + source.randrange(MS), int(point.input_tokens_mean), _length(point, source))
            calls.append(call)
            idle -= 1
            if options.every_request_fails or (call.index > 9 and source.random() < 0.005):
                call.outcome = source.choice(["rejected", "server_error", "timeout"])
                lasted = TIMEOUT_NS if call.outcome == "timeout" else source.randrange(2 * MS, 90 * MS)
                call.done_ns = call.sent_ns + lasted
                failing.append(call)
            else:
                waiting.append(call)
        entering = waiting[: options.max_batch_size - len(active)]
        waiting = waiting[len(entering) :]
        active += entering
        if not active and not failing:
            break
        now += _step_ns(active, entering, source)
        for call in list(active):
            call.chunk_ns.append(now + source.randrange(200_000))
            if len(call.chunk_ns) * options.tokens_per_chunk >= call.output_tokens:
                call.done_ns = call.chunk_ns[-1] + 120_000
                active.remove(call)
                idle += 1
        used = sum(-(-(c.input_tokens + len(c.chunk_ns)) // TOKENS_PER_BLOCK) for c in active)
        steps.append((now, len(active) + len(waiting), len(waiting), used))
    return _Repetition(calls, steps, start_ns, now)


def _in_cohort(call: _Call, close_ns: int) -> bool:
    return close_ns - WINDOW_NS <= call.sent_ns < close_ns


def _length(point: Point, source: random.Random) -> int:
    spread = round(point.output_tokens_mean * 0.3)
    return int(point.output_tokens_mean) + source.randint(-spread, spread)


def _step_ns(active: list[_Call], entering: list[_Call], source: random.Random) -> int:
    decode = 16 * MS + len(active) * 1_700_000
    prefill = sum(call.input_tokens for call in entering) * 90_000
    return round((decode + prefill) * source.uniform(0.97, 1.06))


def _measurement(point: Point, repetition: int, run: _Repetition, *, interrupted: bool) -> Measurement:
    opens = run.start_ns + WARM_UP_NS
    ended = "interrupted" if interrupted else "max_requests" if point.point_id == SUSPECT_POINT else "window_over"
    lost = 3 if point.point_id == INVALID_POINT else 0
    wall_s = (run.end_ns - run.start_ns) / S
    worker = WorkerReport(
        worker=0,
        cpu_s=round(0.11 * wall_s, 3),
        wall_s=round(wall_s, 3),
        records_written=len(run.calls) - lost,
        records_failed=lost,
        flush_ns_max=3 * MS,
        loop_lag_ns_p99=180_000,
        loop_lag_ns_max=900_000,
    )
    return Measurement(
        point_id=point.point_id,
        repetition=repetition,
        arm=None,
        attempt=1,
        complete=not interrupted,
        ended=ended,
        start_ns=run.start_ns,
        window_start_ns=opens,
        window_end_ns=None if interrupted else opens + WINDOW_NS,
        drain_end_ns=run.end_ns,
        taken=len(run.calls),
        never_taken=100_000 - len(run.calls),
        records_expected=len(run.calls),
        workers=[worker],
        message="stopped by Ctrl-C" if interrupted else None,
    )


def _row(point: Point, repetition: int, call: _Call, measurement: Measurement, options: Options) -> dict[str, Any]:
    opens = measurement.window_start_ns or 0
    phase = "warm_up" if call.sent_ns < opens else "window" if call.sent_ns < opens + WINDOW_NS else "drain"
    done = call.outcome == "ok"
    tokens = len(call.chunk_ns) * options.tokens_per_chunk
    return {
        "point_id": point.point_id,
        "repetition": repetition,
        "arm": None,
        "index": call.index,
        "request_id": request_id(point.point_id, None, repetition, call.index),
        "phase": phase,
        "workload_part": "all",
        "tenant": "default",
        "sent_ns": call.sent_ns,
        "first_token_ns": call.chunk_ns[0] if call.chunk_ns else None,
        "last_token_ns": call.chunk_ns[-1] if call.chunk_ns else None,
        "done_ns": call.done_ns,
        "outcome": call.outcome,
        "error": None if done else _ERRORS[call.outcome],
        "input_tokens_asked": call.input_tokens,
        "input_tokens_client": call.input_tokens,
        "input_tokens_server": call.input_tokens if done else None,
        "output_tokens_asked": call.output_tokens,
        "output_tokens_server": tokens if done else None,
        "chunk_offsets_ns": [instant - call.sent_ns for instant in call.chunk_ns],
        "chunk_tokens": [options.tokens_per_chunk] * len(call.chunk_ns),
        "worker": 0,
        "connection_reused": True,
    }


_ERRORS = {
    "timeout": "no final response within 4 s",
    "rejected": "Exceeds maximum queue size",
    "server_error": "Executor failed <constructed & harmless>",
}


def _write_requests(folder: RunFolder, ordinal: int, repetition: int, rows: list[dict[str, Any]]) -> None:
    path = folder.part_path("requests", *requests_part_labels(ordinal, repetition, 1, 0))
    with PartWriter(path, REQUESTS) as part:
        part.write(pa.Table.from_pylist(rows, schema=REQUESTS))


def _telemetry(run: _Repetition, source: random.Random, options: Options) -> list[dict[str, Any]]:
    """Samples every half second: the host, Triton's metrics page, and GPU rows if asked for."""
    rows: list[dict[str, Any]] = []
    for time_ns in range(run.start_ns, run.end_ns, S // 2):
        active, waiting, used = _latest(run.steps, time_ns)
        busy = min(active, MAX_BATCH_SIZE) / MAX_BATCH_SIZE
        rows += [
            _sample(time_ns, "host", "host", "cpu_utilization", 0.25 + 0.4 * busy, "ratio"),
            _sample(time_ns, "host", "server", "cpu_cores", (0.9 + 0.3 * busy) * source.uniform(0.97, 1), "cores"),
            _sample(time_ns, "host", "load_generator", "cpu_cores", 0.06 + 0.05 * busy, "cores"),
            _sample(time_ns, "host", "server", "memory_rss", 420e6, "bytes"),
        ]
        requests, blocks = "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"
        for metric, value, unit in (
            (f"{requests}.active", active, "requests"),
            (f"{requests}.waiting", waiting, "requests"),
            (f"{requests}.scheduled", active - waiting, "requests"),
            (f"{blocks}.used", used, "blocks"),
            (f"{blocks}.max", KV_BLOCKS, "blocks"),
        ):
            rows.append(_sample(time_ns, "prometheus", "tensorrt_llm:1", metric, value, unit))
        if options.gpu:
            rows += _gpu(time_ns, busy, source)
    return rows


def _gpu(time_ns: int, busy: float, source: random.Random) -> list[dict[str, Any]]:
    shiver = source.uniform(0.96, 1.0)
    return [
        _sample(time_ns, "nvml", GPU_UUID, "gpu_utilization", (0.3 + 0.65 * busy) * shiver, "ratio"),
        _sample(time_ns, "nvml", GPU_UUID, "power", (120 + 430 * busy) * shiver, "W"),
        _sample(time_ns, "nvml", GPU_UUID, "memory_used", 61e9, "bytes"),
    ]


GPU_UUID = "GPU-00000000-constructed"


def _latest(steps: list[tuple[int, int, int, int]], time_ns: int) -> tuple[int, int, int]:
    before = [step for step in steps if step[0] <= time_ns]
    return before[-1][1:] if before else (0, 0, 0)


def _sample(time_ns: int, source: str, entity: str, metric: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "time_ns": time_ns,
        "source": source,
        "entity": entity,
        "metric": metric,
        "value": float(value),
        "unit": unit,
    }


def _manifest(points: list[Point], options: Options) -> Manifest:
    deployment = Deployment(
        deployment_id="cpu-tiny",
        kind="embedded",
        model="ensemble",
        url="127.0.0.1:8001",
        protocol="triton_grpc",
        engine_name="cpu-tiny",
        engine_hash="0" * 64,
        server={
            "name": "triton",
            "version": "2.51.0",
            "extensions": ["statistics", "model_configuration"],
            "model_configuration": {"max_batch_size": MAX_BATCH_SIZE, "decoupled": True},
        },
        not_available={"trace settings": "the server does not offer them"},
        settings={"max_batch_size": MAX_BATCH_SIZE, "max_num_tokens": 512, "enable_chunked_context": True},
        gpu_count=1 if options.gpu else None,
        gpu_product="Constructed GPU 80 GB" if options.gpu else None,
    )
    gpu = {"uuid": GPU_UUID, "product": "Constructed GPU 80 GB", "memory_bytes": 85_899_345_920}
    missing = {} if options.gpu else {"nvml": "no NVIDIA GPU on this host"}
    if not options.telemetry:
        missing = {"nvml": "no NVIDIA GPU on this host", "prometheus": "the metrics page did not answer", "host": "off"}
    return Manifest(
        manifest_version=MANIFEST_VERSION,
        run_id="20260101T000000Z-constructed-sweep-00000000",
        campaign="run",
        harness_version="0.0.0+constructed",
        metrics_version=1,
        command_line=["harness", "run", "constructed-sweep"],
        scenario_name="constructed-sweep",
        scenario_text=SCENARIO_TEXT,
        scenario_hash="0" * 64,
        scenario_file="scenarios/constructed-sweep.yaml",
        seed=7,
        salt="constructed",
        attempt=1,
        clock=Anchor(START_NS, WALL_START_NS),
        host={"processor": "Constructed CPU, 2 cores", "cpus": 2, "memory_bytes": 8 * 2**30, "kernel": "constructed"},
        deployments=[deployment],
        points=points,
        telemetry_not_available=missing,
        gpus=[gpu] if options.gpu else [],
        notes=["constructed: written by tests/golden/fixture_run.py, no server was measured"],
    )


def with_description(text: str) -> str:
    """The scenario text with another description (one line of JSON, which is YAML)."""
    lines = SCENARIO_TEXT.split("\n")
    return "\n".join(f"description: {text}" if line.startswith("description:") else line for line in lines)


def edited(folder: RunFolder, **changes: Any) -> RunFolder:
    """The folder with these fields of its manifest changed."""
    folder.write_manifest(dataclasses.replace(folder.manifest(), **changes))
    return folder
