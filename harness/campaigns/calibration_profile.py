"""The profile of this host: where it lies in the user's state folder, and which one is in force for a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import harness
from harness.errors import RunFolderError
from harness.measure import host_identity
from harness.records import calibration
from harness.records.calibration import Calibration, NotCalibrated
from harness.target.places import state_folder

SAME_HOST = ("cpu_model", "cpu_count", "cpu_affinity", "kernel", "machine", "python", "clock_source")
SAME_PACKAGES = ("locust", "gevent")


def host_key(host: dict[str, Any]) -> str:
    """Twelve hex digits that change with everything a load generator's speed depends on."""
    same = {name: host.get(name) for name in SAME_HOST}
    packages = {name: host.get("packages", {}).get(name) for name in SAME_PACKAGES}
    identity = json.dumps([same, packages, harness.__version__], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def profile_path(key: str) -> Path:
    """Where the profile of the host with this key lies."""
    return state_folder() / "calibration" / f"{key}.json"


def in_force() -> Calibration | NotCalibrated:
    """The profile of this host as it is now; a damaged one is none."""
    path = profile_path(host_key(host_identity.describe()))
    if not path.exists():
        return NotCalibrated("this host has no instrument profile; make one with: harness calibrate")
    try:
        return calibration.from_json(path.read_text(encoding="utf-8"))
    except (OSError, RunFolderError) as error:
        return NotCalibrated(f"{path} cannot be read ({error}); make it again with: harness calibrate")


def in_force_as_json() -> str:
    """The text of a run folder's `calibration.json`."""
    return calibration.to_json(in_force())


def keep(profile: Calibration) -> Path:
    """Store the profile for later runs on this host; returns its path."""
    path = profile_path(profile.host_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(calibration.to_json(profile), encoding="utf-8")
    draft.replace(path)
    return path
