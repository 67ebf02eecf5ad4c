"""Telemetry as strips of the timeline: which rows of `telemetry.parquet` are drawn, under which name, in which unit.

Samples are drawn as they are, or averaged in groups where there are more than the picture can show. Where the next
sample is late, the line breaks: a gap stays a gap, never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.metrics.columns import Floats, Ints
from harness.report.shown import Line, Track
from harness.units import NS_PER_S


@dataclass(frozen=True)
class _Samples:
    """The samples of one series in order of time."""

    time_ns: Ints
    values: Floats


@dataclass(frozen=True)
class _Curve:
    """A telemetry series: rows of one source, entity and metric, with the factor to the unit shown."""

    label: str
    source: str
    entity: str | None  # None: every entity, one line each
    metric: str
    factor: float = 1.0


_CPU = (
    _Curve("server", "host", "server", "cpu_cores"),
    _Curve("load generator", "host", "load_generator", "cpu_cores"),
)
_SERVER_REQUESTS = (
    _Curve("active", "prometheus", None, "nv_trt_llm_request_metrics.active"),
    _Curve("waiting", "prometheus", None, "nv_trt_llm_request_metrics.waiting"),
)
_STRIPS: tuple[tuple[str, tuple[_Curve, ...]], ...] = (
    ("server’s\nrequests", _SERVER_REQUESTS),
    ("KV blocks\nused", (_Curve("used", "prometheus", None, "nv_trt_llm_kv_cache_block_metrics.used"),)),
    ("CPU\ncores busy", _CPU),
    ("GPU busy\n%", (_Curve("GPU", "nvml", None, "gpu_utilization", 100.0),)),
    ("GPU power\nW", (_Curve("GPU", "nvml", None, "power"),)),
)
MOST_SAMPLES = 300  # of a line; more than that is averaged in groups
LATE = 4  # a sample later than this many times the usual spacing leaves a gap
_SOURCES = {"host": "host", "prometheus": "Triton’s metrics page", "nvml": "GPU"}


def strips(telemetry: pa.Table, start_ns: int, period_s: float) -> tuple[Track, ...]:
    """The strips for which there are samples, in seconds from `start_ns`. `period_s`: time asked between samples."""
    tracks = []
    for label, curves in _STRIPS:
        named = [pair for curve in curves for pair in _series(telemetry, curve)]
        lines = [_line(name, style, rows, start_ns, period_s) for style, (name, rows) in enumerate(named)]
        if lines:
            tracks.append(Track(label, tuple(lines), legend=len(curves) > 1 or len(lines) > 1))
    return tuple(tracks)


def missing(telemetry: pa.Table) -> tuple[str, ...]:
    """The sources without any sample, in words."""
    present = set(telemetry["source"].unique().to_pylist())
    return tuple(name for source, name in _SOURCES.items() if source not in present)


def _series(telemetry: pa.Table, curve: _Curve) -> list[tuple[str, _Samples]]:
    asked = pc.and_(pc.equal(telemetry["source"], curve.source), pc.equal(telemetry["metric"], curve.metric))
    rows = telemetry.filter(asked).sort_by("time_ns")
    entities = sorted(set(rows["entity"].to_pylist())) if curve.entity is None else [curve.entity]
    found = []
    for number, entity in enumerate(entities):
        own = rows.filter(pc.equal(rows["entity"], entity))
        if own.num_rows:
            name = curve.label if len(entities) == 1 else f"{curve.label} {number}"
            found.append((name, _Samples(own["time_ns"].to_numpy(), own["value"].to_numpy() * curve.factor)))
    return found


def _line(label: str, style: int, samples: _Samples, start_ns: int, period_s: float) -> Line:
    size = -(-samples.values.size // MOST_SAMPLES)
    x, y = _grouped((samples.time_ns - start_ns) / NS_PER_S, size), _grouped(samples.values, size)
    spacing = max(period_s * size, float(np.median(np.diff(x))) if x.size > 1 else 0.0)
    late = np.flatnonzero(np.diff(x) > LATE * spacing) + 1
    x, y = np.insert(x, late, x[late]), np.insert(y, late, np.nan)
    return Line(label, tuple(map(float, x)), tuple(map(float, y)), style)


def _grouped(values: Floats, size: int) -> Floats:
    """The means of successive groups of `size` values; the last may be smaller."""
    starts = np.arange(0, values.size, size)
    return np.asarray(np.add.reduceat(values, starts) / np.diff(np.append(starts, values.size)))
