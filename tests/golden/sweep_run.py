"""A small run folder of a sweep, CONSTRUCTED: no server was measured. The same bytes at every call.

The toy server of `fixture_run` with four numbers of batch slots at two loads, three repetitions each, and two visits of
a reference. One combination does not start, one was beaten beyond doubt and not finished.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import fixture_run as toy
import pyarrow as pa
import pyarrow.parquet as pq

from harness.campaigns.pruning import why_beaten
from harness.records.manifest import Deployment, Manifest, Point
from harness.records.schemas import TELEMETRY
from harness.records.store import RunFolder

SLOTS, BROKEN, BEATEN = (1, 4, 8, 512), 512, 1
CONCURRENCIES = (4, 12)
REPETITIONS, VISITS = 3, 2
INPUT_TOKENS, OUTPUT_TOKENS = 64, 7
ENGINE = "kind: cpu\nname: cpu-tiny-max_batch_size-{slots}\nsettings: {{max_batch_size: {slots}}}\n"
SCENARIO_TEXT = """\
version: 1
name: constructed-batch-sweep
description: Constructed for tests and for the sample report. No server was measured.
target: {engine: cpu-tiny}
vary: {max_batch_size: [1, 4, 8, 512]}
workload: {input_tokens: 64, output_tokens: {distribution: uniform, min_tokens: 5, max_tokens: 9}}
load: {kind: closed_loop, concurrency: [4, 12]}
phases: {warm_up_s: 2, window_s: 15, drain_limit_s: 4}
request: {timeout_s: 4}
repetitions: 3
seed: 7
objectives:
  - {metric: time_to_first_token, statistic: p90, at_most_ms: 400}
"""


def write_sweep_run(path: Path) -> RunFolder:
    """The run folder at `path` (which must not exist)."""
    folder, source = RunFolder.create(path), random.Random(20260103)
    points = [_point(slots, c) for slots in SLOTS if slots != BROKEN for c in CONCURRENCIES]
    reference = points[-1]
    visited = dataclasses.replace(
        reference, point_id=f"{reference.point_id}-reference", repetitions=VISITS, purpose="reference"
    )
    planned = [(p, r) for p in points for r in range(1 if p.deployment_id == _id(BEATEN) else REPETITIONS)]
    manifest, at_ns = _manifest([*points, visited]), toy.START_NS
    telemetry: list[dict[str, Any]] = []
    for ordinal, (point, repetition) in enumerate([(visited, 0), *planned, (visited, 1)]):
        slots = int(point.deployment_id.rpartition("-")[2])
        options = toy.Options(max_batch_size=slots)
        run = toy._simulate(point, at_ns, source, options)
        measurement = toy._measurement(point, repetition, run, interrupted=False)
        rows = [toy._row(point, repetition, call, measurement, options) for call in run.calls]
        toy._write_requests(folder, ordinal, repetition, rows)
        manifest = manifest.with_measurement(measurement)
        telemetry += _telemetry(run, slots)
        at_ns = run.end_ns + toy.PAUSE_NS
    folder.write_manifest(manifest)
    folder.merge_requests(manifest.measurements)
    beaten = dataclasses.replace(manifest.deployment(_id(BEATEN)), pruned=why_beaten(folder, manifest, _id(BEATEN)))
    folder.write_manifest(manifest.with_deployment(beaten))
    pq.write_table(
        pa.Table.from_pylist(telemetry, schema=TELEMETRY).sort_by("time_ns"), folder.path / "telemetry.parquet"
    )
    return folder


def _id(slots: int) -> str:
    return f"max_batch_size-{slots}"


def _point(slots: int, concurrency: int) -> Point:
    return Point(
        f"{_id(slots)}-all-c{concurrency}", _id(slots), "all", "closed_loop", concurrency, None, REPETITIONS,
        100_000, float(INPUT_TOKENS), float(OUTPUT_TOKENS),
    )  # fmt: skip


def _telemetry(run: toy._Repetition, slots: int) -> list[dict[str, Any]]:
    """The engine's gauges, twice a second."""
    rows = []
    for time_ns in range(run.start_ns, run.end_ns, toy.S // 2):
        active, _, used = toy._latest(run.steps, time_ns)
        scheduled = min(slots, active)
        for metric, value in (
            ("request_metrics.max", slots),
            ("request_metrics.scheduled", scheduled),
            ("request_metrics.waiting", active - scheduled),
            ("kv_cache_block_metrics.used", used),
            ("kv_cache_block_metrics.max", toy.KV_BLOCKS),
        ):
            rows.append(toy._sample(time_ns, "prometheus", "tensorrt_llm:1", f"nv_trt_llm_{metric}", value, "requests"))
    return rows


def _manifest(points: list[Point]) -> Manifest:
    first = toy._manifest([], toy.Options())
    (usual,) = first.deployments
    return dataclasses.replace(
        first,
        run_id="20260101T000000Z-constructed-batch-sweep-00000000",
        campaign="sweep",
        command_line=["harness", "sweep", "constructed-batch-sweep", "--prune"],
        scenario_name="constructed-batch-sweep",
        scenario_text=SCENARIO_TEXT,
        scenario_file="scenarios/constructed-batch-sweep.yaml",
        deployments=[_deployment(usual, slots) for slots in SLOTS],
        points=points,
        notes=["constructed: written by tests/golden/sweep_run.py, no server was measured"],
    )


def _deployment(usual: Deployment, slots: int) -> Deployment:
    return dataclasses.replace(
        usual,
        deployment_id=_id(slots),
        engine_name=f"cpu-tiny-{_id(slots)}",
        engine_spec=ENGINE.format(slots=slots),
        varied={"max_batch_size": slots},
        settings={"max_batch_size": slots, "max_num_tokens": 512},
        failure="does not start: the engine ran out of memory (constructed)" if slots == BROKEN else None,
    )
