"""The manifest of a run folder: what was run, on what, when, and which repetitions are complete.

Plain frozen dataclasses with JSON in and out. A key that this version does not know is an error of the folder, not of
the reader: manifests are written by the program only.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from harness.clock import Anchor
from harness.errors import RunFolderError

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Deployment:
    """One server under test: what it was asked to be and what it said it is."""

    deployment_id: str
    kind: str  # "embedded", "process", "container" or "attach"
    model: str
    url: str
    protocol: str
    engine_name: str | None = None
    engine_spec: str | None = None  # the YAML text
    engine_hash: str | None = None
    server: dict[str, Any] = field(default_factory=dict)  # name, version, extensions, model configuration, …
    not_available: dict[str, str] = field(default_factory=dict)  # part of the server's description → why it is missing
    settings: dict[str, Any] = field(default_factory=dict)  # serving settings, e.g. max_batch_size
    gpu_count: int | None = None
    gpu_product: str | None = None
    start_phases: dict[str, float] = field(default_factory=dict)  # seconds since the server's process was started
    varied: dict[str, Any] = field(default_factory=dict)  # of a sweep: the settings by which its deployments differ
    failure: str | None = None  # "does not start: …", "cannot be: …", "went away: …": a result of a sweep
    pruned: str | None = None  # why a sweep did not finish it
    token_count_source: str = "server"  # where token counts come from: "server", "tokenizer" or "chunks"
    gpu_memory_bytes: int | None = None  # of one GPU
    tokenizer_hash: str | None = None  # of the tokenizer.json that prompts were made with
    weights_hash: str | None = None  # of the model's weights, where they are ours to read


@dataclass(frozen=True)
class Point:
    """One cell of the matrix: server setting × workload × load level."""

    point_id: str
    deployment_id: str
    workload: str
    load_kind: str  # "closed_loop" or "open_loop"
    concurrency: int | None
    request_rate_per_s: float | None
    repetitions: int
    max_requests: int | None
    input_tokens_mean: float  # of the planned sequence
    output_tokens_mean: float
    arm: str | None = None
    streamed: bool = True  # False: answers come whole, there is no first token
    purpose: str = "result"  # "reference": measured again and again, to see the machine drift

    @property
    def key(self) -> str:
        """What tells it from all other points of the run: its id, and where a pair has two, its arm."""
        return key_of(self.point_id, self.arm)


def key_of(point_id: str, arm: str | None) -> str:
    """`<point id>`, or `<point id>/<arm>` of a point that is measured in pairs."""
    return point_id if arm is None else f"{point_id}/{arm}"


@dataclass(frozen=True)
class WorkerReport:
    """What one load-generator worker says about itself over one repetition."""

    worker: int
    cpu_s: float
    wall_s: float
    records_written: int
    records_failed: int  # rows the sink could not keep; above 0 the repetition is INVALID
    flush_ns_max: int
    loop_lag_ns_p99: int | None = None
    loop_lag_ns_max: int | None = None


@dataclass(frozen=True)
class Measurement:
    """One repetition of one point as it was measured. Its presence with `complete` is the repetition's end mark."""

    point_id: str
    repetition: int
    arm: str | None
    attempt: int
    complete: bool
    ended: str  # "window_over", "max_requests", "interrupted", "target_lost", "driver_failed"
    start_ns: int  # first send may happen
    window_start_ns: int | None  # None: stopped before the window opened
    window_end_ns: int | None
    drain_end_ns: int
    taken: int  # numbers of the sequence that were sent (or became rows)
    never_taken: int  # planned, never reached: no rows
    records_expected: int
    workers: list[WorkerReport] = field(default_factory=list)
    message: str | None = None


@dataclass(frozen=True)
class Manifest:
    """Everything about a run that is not a record."""

    manifest_version: int
    run_id: str
    campaign: str
    harness_version: str
    metrics_version: int
    command_line: list[str]
    scenario_name: str
    scenario_text: str
    scenario_hash: str
    scenario_file: str
    seed: int
    salt: str
    attempt: int
    clock: Anchor
    host: dict[str, Any]
    deployments: list[Deployment] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    telemetry_not_available: dict[str, str] = field(default_factory=dict)
    gpus: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    arms: dict[str, str] = field(default_factory=dict)  # of a gate of pairs: arm → engine, URL or file as it was named
    files: dict[str, str] = field(default_factory=dict)  # file of workload or load as written → SHA-256 of its content

    def point(self, point_id: str) -> Point:
        """The point with this id; RunFolderError when there is none."""
        for point in self.points:
            if point.point_id == point_id:
                return point
        raise RunFolderError(f"manifest.json: no point {point_id!r}")

    def deployment(self, deployment_id: str) -> Deployment:
        """The deployment with this id; RunFolderError when there is none."""
        for deployment in self.deployments:
            if deployment.deployment_id == deployment_id:
                return deployment
        raise RunFolderError(f"manifest.json: no deployment {deployment_id!r}")

    def with_measurement(self, measurement: Measurement) -> Manifest:
        """A copy in which this measurement replaces an earlier one of the same repetition."""
        key = (measurement.point_id, measurement.arm, measurement.repetition)
        kept = [m for m in self.measurements if (m.point_id, m.arm, m.repetition) != key]
        return dataclasses.replace(self, measurements=[*kept, measurement])

    def with_deployment(self, deployment: Deployment) -> Manifest:
        """A copy in which this deployment replaces the one with its id."""
        known = [deployment if d.deployment_id == deployment.deployment_id else d for d in self.deployments]
        return dataclasses.replace(self, deployments=known)


def to_json(manifest: Manifest) -> str:
    """The manifest as JSON text: sorted keys, two spaces."""
    return json.dumps(dataclasses.asdict(manifest), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str) -> Manifest:
    """The manifest in this JSON text. Raises RunFolderError when it is not one of ours."""
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunFolderError(f"manifest.json is damaged: {error}") from error
    if not isinstance(raw, dict) or raw.get("manifest_version") != MANIFEST_VERSION:
        found = raw.get("manifest_version") if isinstance(raw, dict) else None
        raise RunFolderError(
            f"manifest.json has version {found!r}, this harness reads version {MANIFEST_VERSION}",
            hint="use the harness version that made the run",
        )
    try:
        manifest: Manifest = _build(Manifest, raw)
    except (TypeError, KeyError, ValueError) as error:
        raise RunFolderError(f"manifest.json does not fit its schema: {error}") from error
    return manifest


def _build(kind: Any, value: Any) -> Any:
    """A dataclass, list or plain value of type `kind` from parsed JSON."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _build(next(arg for arg in typing.get_args(kind) if arg is not type(None)), value)
    if origin is list:
        return [_build(typing.get_args(kind)[0], item) for item in value]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _build(hints[name], item) for name, item in value.items()})
    return value
