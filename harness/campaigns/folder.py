"""The run folder of a campaign: how it begins, how a second attempt begins, and what is kept however it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import harness
from harness import clock
from harness.errors import HarnessError, Interrupted, RunFolderError
from harness.measure import host_identity
from harness.metrics.catalog import METRICS_VERSION
from harness.records.manifest import MANIFEST_VERSION, Deployment, Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.digests import digests
from harness.scenario.loader import Loaded
from harness.target.opened import OpenTarget
from harness.telemetry.nvml_identity import GpuInventory, identify
from harness.telemetry.source import Unavailable

SERVER_LOG_BYTES = 1 << 20


def new_folder(runs: Path, scenario_name: str, scenario_hash: str) -> Path:
    """`<runs>/<utc>-<scenario>-<hash>`."""
    return runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{scenario_name}-{scenario_hash[:6]}"


def first_manifest(
    loaded: Loaded,
    folder: RunFolder,
    campaign: str,
    command_line: Sequence[str],
    deployments: Sequence[Deployment],
    points: Sequence[Point],
) -> Manifest:
    """The manifest of a first attempt; the salt of the run is drawn here."""
    found = identify()
    return Manifest(
        manifest_version=MANIFEST_VERSION,
        run_id=folder.path.name,
        campaign=campaign,
        harness_version=harness.__version__,
        metrics_version=METRICS_VERSION,
        command_line=list(command_line),
        scenario_name=loaded.scenario.name,
        scenario_text=loaded.text,
        scenario_hash=loaded.hash,
        scenario_file=str(loaded.path),
        seed=loaded.scenario.seed,
        salt=secrets.token_hex(8),
        attempt=1,
        clock=clock.anchor(),
        host=host_identity.describe() | {"harness_python": sys.version.split()[0]} | _driver_versions(found),
        deployments=list(deployments),
        points=list(points),
        gpus=[] if isinstance(found, Unavailable) else [dataclasses.asdict(gpu) for gpu in found.gpus],
        files=digests(loaded),
    )


def _driver_versions(found: GpuInventory | Unavailable) -> dict[str, str | None]:
    return {} if isinstance(found, Unavailable) else {"nvidia_driver": found.driver, "cuda": found.cuda}


def next_attempt(manifest: Manifest, notes: Sequence[str] = ()) -> Manifest:
    """The manifest of another attempt at the same run: prompts get another nonce. Not written yet."""
    return dataclasses.replace(manifest, attempt=manifest.attempt + 1, notes=[*manifest.notes, *notes])


@contextlib.contextmanager
def merging(folder: RunFolder) -> Iterator[None]:
    """Hold the folder, and merge its parts however the block ends; a full disk must not hide the first error."""
    with folder.measuring():
        try:
            yield
        except BaseException:
            with contextlib.suppress(RunFolderError):
                folder.merge_parts()
            raise
        folder.merge_parts()


@contextlib.contextmanager
def keeping_server_log(target: OpenTarget, folder: RunFolder, name: str = "server.log") -> Iterator[None]:
    """The end of the log of a server that we started stays with the run."""
    try:
        yield
    finally:
        if target.log_path is not None:
            with contextlib.suppress(OSError):
                folder.write_text(name, _tail(target.log_path, SERVER_LOG_BYTES))


def _tail(path: Path, most_bytes: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        return file.read().decode(errors="replace")


@contextlib.contextmanager
def naming(folder: RunFolder, resume_command: str = "harness run --resume") -> Iterator[None]:
    """Errors from here on know the run folder, so that the command line can say where the kept data lies."""
    try:
        yield
    except HarnessError as error:
        error.kept_in, error.resume_command = folder.path, resume_command
        raise
    except KeyboardInterrupt:
        interrupted = Interrupted("interrupted twice: the repetition in progress is lost")
        interrupted.kept_in, interrupted.resume_command = folder.path, resume_command
        raise interrupted from None
