"""The instrument's profile: what this harness was measured to carry on a host, and how wrong its instants are there.

Written by `harness calibrate` under the user's state folder, one file per host identity, and copied into each run
folder as `calibration.json`. Times are nanoseconds, rates per second, shares of one processor core 0-1.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from harness.errors import RunFolderError

CALIBRATION_VERSION = 1
FILE = "calibration.json"


@dataclass(frozen=True)
class TimingLevel:
    """Errors of the instants at one number of streams in flight, against what the truth server logged."""

    streams: int
    time_to_first_token_error_p50_ns: float
    time_to_first_token_error_p99_ns: float
    gap_error_p99_ns: float
    cpu_ratio: float  # of one core, by the load generator
    samples: int  # requests


@dataclass(frozen=True)
class Ceiling:
    """The highest rate reached. Where the server was the limit, `per_s` is a lower bound of the ceiling."""

    what: str  # "output_tokens" or "requests"
    per_s: float
    cpu_ratio: float  # of one core, by the load generator
    bound_by: str  # "client" or "server"

    @property
    def estimated_per_s(self) -> float:
        """The rate at which the load generator would fill its core: extrapolated where the server was the limit."""
        return self.per_s / min(1.0, self.cpu_ratio) if self.cpu_ratio > 0 else self.per_s


@dataclass(frozen=True)
class SendLateness:
    """sent - intended in an open loop at one rate."""

    request_rate_per_s: float
    p50_ns: float
    p99_ns: float


@dataclass(frozen=True)
class Calibration:
    """One host's profile."""

    host_key: str
    harness_version: str
    measured_wall_ns: int
    protocol: str
    host: dict[str, Any]
    timing: list[TimingLevel] = field(default_factory=list)  # by streams, ascending
    ceilings: list[Ceiling] = field(default_factory=list)
    send_lateness: list[SendLateness] = field(default_factory=list)
    streams_per_process: int | None = None  # the most at which the gap error stayed within bounds; None: not even one
    not_measured: dict[str, str] = field(default_factory=dict)  # part → why

    def ceiling(self, what: str) -> Ceiling | None:
        """The ceiling of "output_tokens" or "requests"."""
        return next((ceiling for ceiling in self.ceilings if ceiling.what == what), None)


@dataclass(frozen=True)
class NotCalibrated:
    """Why there is no profile."""

    reason: str


def to_json(profile: Calibration | NotCalibrated) -> str:
    """The profile as the text of `calibration.json`."""
    calibrated = isinstance(profile, Calibration)
    content = {"calibration_version": CALIBRATION_VERSION, "calibrated": calibrated, **dataclasses.asdict(profile)}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> Calibration | NotCalibrated:
    """The profile in this text. Raises RunFolderError when it is none; a profile of another version is no profile."""
    try:
        raw = json.loads(text)
        version, calibrated = raw.pop("calibration_version"), raw.pop("calibrated")
        if version != CALIBRATION_VERSION:
            return NotCalibrated(f"the profile has version {version}, this harness reads {CALIBRATION_VERSION}")
        if not calibrated:
            return NotCalibrated(**raw)
        parts = {"timing": TimingLevel, "ceilings": Ceiling, "send_lateness": SendLateness}
        built = {name: [kind(**item) for item in raw[name]] for name, kind in parts.items()}
        return Calibration(**(raw | built))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunFolderError(
            f"{FILE} does not fit its schema: {error}", hint="run `harness calibrate` again"
        ) from error
