"""What a driver is asked to do, and the events it reports: the contract between `measure` and every driver.

A task is one repetition of one point. Durations are nanoseconds. Tasks travel through a pipe, never through a file: the
headers may hold credentials.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TlsFiles:
    """TLS settings as paths; None means the system's default."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None


@dataclass(frozen=True)
class Address:
    """Where requests go and what travels with each."""

    host: str
    port: int
    tls: TlsFiles | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    base_path: str = ""  # of a gateway, before the path of an HTTP/1.1 protocol


@dataclass(frozen=True)
class MeasurementTask:
    """One repetition of one point.

    With a `concurrency` it is a closed loop of so many users, each living one session after the other. Without one it
    is an open loop: every arrival is sent at its planned instant. `max_in_flight` lets arrivals of an open loop queue
    in the client; `stop_above_in_flight` ends a search probe that the server cannot follow, `stop_above_late` one of
    which more cohort requests than that are later than `late_after_ns` (event → nanoseconds, `locust.lateness`).
    """

    run_folder: str
    point_id: str
    ordinal: int  # place of the point in the manifest; names the part files
    arm: str | None
    repetition: int
    attempt: int
    salt: str
    prompt_seed: int
    address: Address
    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    batched: bool
    tokenizer: str | None
    concurrency: int | None
    warm_up_ns: int
    warm_up_requests: int
    window_ns: int | None
    window_requests: int | None
    drain_limit_ns: int
    max_in_flight: int | None = None
    stop_above_in_flight: int | None = None
    stop_above_late: int | None = None
    late_after_ns: Mapping[str, int] = field(default_factory=dict)
    tenant_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    protocol: str = "triton_grpc"  # an entry of harness.protocols.table
    streamed: bool = True  # whether answers are asked for as streams
    prompt_files: Mapping[str, str] = field(default_factory=dict)  # part → its file, of parts with prompts from one

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> MeasurementTask:
        """The task in this line."""
        raw = json.loads(text)
        address = raw.pop("address")
        tls = address.pop("tls")
        return MeasurementTask(address=Address(tls=TlsFiles(**tls) if tls else None, **address), **raw)


@dataclass(frozen=True)
class Event:
    """One thing a driver reports. `kind` is one of the constants below, `facts` its content."""

    kind: str
    facts: dict[str, Any]


READY = "ready"  # requests built, connections open
WINDOW_OPENS = "window_opens"  # facts: window_start_ns, a little in the future
WINDOW_CLOSED = "window_closed"  # facts: window_end_ns
PROGRESS = "progress"  # facts: LiveFigures
FINISHED = "finished"  # facts: Finished
FAILED = "failed"  # facts: message


@dataclass(frozen=True)
class LiveFigures:
    """Figures for the progress display only; never stored, reported or gated."""

    phase: str
    done: int
    failed: int
    in_flight: int
    request_rate_per_s: float
    token_rate_per_s: float
    time_to_first_token_ms: float | None


@dataclass(frozen=True)
class WorkerFinished:
    """What one worker says about its share of a repetition."""

    worker: int
    taken: int  # became rows
    never_taken: int  # planned, and never due or never reached: no rows
    drain_end_ns: int
    records_written: int
    records_failed: int
    sink_error: str | None
    cpu_s: float
    wall_s: float
    flush_ns_max: int
    loop_lag_ns_p99: int | None
    loop_lag_ns_max: int | None


@dataclass(frozen=True)
class Finished:
    """How a repetition ended, as the driver saw it. Counts are sums over the workers."""

    ended: str
    start_ns: int
    window_start_ns: int | None
    window_end_ns: int | None
    drain_end_ns: int
    message: str | None
    workers: list[WorkerFinished]

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> Finished:
        """The content of a FINISHED event."""
        return Finished(**{**facts, "workers": [WorkerFinished(**worker) for worker in facts["workers"]]})

    @property
    def taken(self) -> int:
        """Planned requests that became rows."""
        return sum(worker.taken for worker in self.workers)

    @property
    def never_taken(self) -> int:
        """Planned requests that are no rows."""
        return sum(worker.never_taken for worker in self.workers)

    @property
    def records_written(self) -> int:
        """Rows that reached the part files."""
        return sum(worker.records_written for worker in self.workers)

    @property
    def records_failed(self) -> int:
        """Rows that could not be kept."""
        return sum(worker.records_failed for worker in self.workers)
