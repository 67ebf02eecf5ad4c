"""The messages between conductor and workers, sent through Locust's runners.

The same handlers serve one process (a LocalRunner calls them at once) and a master with workers (they travel over
127.0.0.1), so that there is one code path. Instants are CLOCK_MONOTONIC, which all processes of a host share.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# conductor -> workers
PREPARE = "harness_prepare"  # {task, worker, workers}
GO = "harness_go"  # {start_ns, window_start_ns?, window_end_ns?}
WINDOW = "harness_window"  # {start_ns, end_ns?}
END = "harness_end"  # {why, at_ns}

# worker -> conductor; each carries {worker}
HELLO = "harness_hello"  # {token}
READY = "harness_ready"  # {requests, window_length_ns?}
STATUS = "harness_status"  # Status
COLLECTED = "harness_collected"  # WorkerFinished
TROUBLE = "harness_trouble"  # {message, target}


@dataclass(frozen=True)
class Figures:
    """What was over since the last figures; for the progress display only."""

    requests: int
    failed: int
    tokens: int
    time_to_first_token_ms: float | None


@dataclass(frozen=True)
class Status:
    """How a worker's share stands; sent many times a second."""

    worker: int
    at_ns: int
    done: int
    in_flight: int  # sent and not over, or waiting for room under the cap
    cohort_open: int  # cohort requests that are not over
    window_end_ns: int | None
    exhausted_ns: int | None  # closed loop: when its numbers were used up
    failing_s: float  # for so long nothing but connection failures came back
    sink_error: str | None
    figures: Figures | None
    late: dict[str, int] = field(default_factory=dict)  # event -> cohort requests later than their limit
