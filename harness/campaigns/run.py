"""The `run` campaign: one scenario, one target, every point in its seeded order, into one run folder.

It starts the target, draws the plan, loops over the repetitions that are missing, and keeps what was measured whatever
happens. Judging is the right half's work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import harness
from harness import clock
from harness.campaigns.calibration_profile import in_force_as_json
from harness.campaigns.display import Display
from harness.campaigns.limits import refuse_clamped
from harness.drivers import chosen
from harness.errors import DriverFailed, HarnessError, Interrupted, RunFolderError, TargetNotReady
from harness.measure import host_identity
from harness.measure.assignment import assignment, contract_of
from harness.measure.interruption import Interruption
from harness.measure.observer import Observer
from harness.measure.repetition import measure
from harness.metrics.catalog import METRICS_VERSION
from harness.plan import matrix
from harness.plan.draw import draw
from harness.plan.estimate import estimate
from harness.plan.files import Count, prompt_files, with_files_read
from harness.plan.prompts import PromptSource
from harness.records.calibration import FILE as CALIBRATION_FILE
from harness.records.manifest import MANIFEST_VERSION, Deployment, Manifest, Measurement, Point
from harness.records.store import RunFolder
from harness.scenario.digests import digests
from harness.scenario.loader import Loaded
from harness.scenario.schema import Scenario
from harness.target.opened import OpenTarget, open_target
from harness.telemetry.nvml_identity import GpuInventory, identify
from harness.telemetry.source import Unavailable

SERVER_LOG_BYTES = 1 << 20
CROSS_CHECK = "cross_check"


@dataclass(frozen=True)
class RunRequest:
    """What to run and where to keep it. With `resume`, the missing repetitions of that folder are measured.

    `campaign` "cross_check" measures every point once with each driver.
    """

    loaded: Loaded
    runs: Path
    command_line: list[str]
    resume: RunFolder | None = None
    web_ui_port: int | None = None  # Locust's own page, on 127.0.0.1
    campaign: str = "run"


def run(request: RunRequest, display: Display) -> RunFolder:
    """Run the campaign; returns the run folder.

    Raises Interrupted, TargetNotReady or DriverFailed, with `kept_in` set once something may have been measured.
    """
    scenario = request.loaded.scenario
    chosen.require(_drivers(scenario, request.campaign), scenario.load_generator.processes)
    with Interruption() as interruption, open_target(scenario.target, progress=display.step) as target:
        folder, manifest = _prepare(request, target, display)
        with _naming(folder), _keeping_server_log(target, folder):
            _measure_all(scenario, folder, manifest, target, interruption, display, request.web_ui_port)
    return folder


def new_folder(runs: Path, scenario_name: str, scenario_hash: str) -> Path:
    """`<runs>/<utc>-<scenario>-<hash>`."""
    return runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{scenario_name}-{scenario_hash[:6]}"


def _prepare(request: RunRequest, target: OpenTarget, display: Display) -> tuple[RunFolder, Manifest]:
    if request.resume is not None:
        return request.resume, _resumed(request.resume, target, display)
    loaded = request.loaded
    scenario = with_files_read(loaded.scenario, _token_count(target, loaded.scenario))
    display.step("drawing the plan")
    drawn = matrix.points(scenario, target.deployment.deployment_id)
    points = [dataclasses.replace(point, streamed=scenario.request.stream) for point in drawn]
    if request.campaign == CROSS_CHECK:
        points = chosen.once_with_each(points)
    plan = draw(scenario, points, _special_tokens(target, scenario.seed))
    refuse_clamped(plan, target.deployment)
    folder = RunFolder.create(new_folder(request.runs, scenario.name, loaded.short_hash))
    manifest = _first_manifest(request, folder, target.deployment, points)
    folder.write_manifest(manifest)
    folder.write_plan(plan)
    folder.write_text(CALIBRATION_FILE, in_force_as_json())
    return folder, manifest


def _token_count(target: OpenTarget, scenario: Scenario) -> Count | None:
    """Counts the texts of files with the target's tokenizer; None where there are none, or it is not known."""
    tokenizer = target.endpoint.tokenizer
    if tokenizer is None or not any(prompt_files(scenario, workload.name) for workload in scenario.workload):
        return None
    return PromptSource.from_tokenizer(tokenizer, scenario.seed).count


def _special_tokens(target: OpenTarget, seed: int) -> int:
    """Tokens that the target's tokenizer adds to a text prompt; also checks that exact prompts can be written."""
    tokenizer = target.endpoint.tokenizer
    if tokenizer is None or not contract_of(target).takes_text:
        return 0
    return PromptSource.from_tokenizer(tokenizer, seed).special_tokens


def _first_manifest(request: RunRequest, folder: RunFolder, deployment: Deployment, points: list[Point]) -> Manifest:
    loaded = request.loaded
    found = identify()
    return Manifest(
        manifest_version=MANIFEST_VERSION,
        run_id=folder.path.name,
        campaign=request.campaign,
        harness_version=harness.__version__,
        metrics_version=METRICS_VERSION,
        command_line=request.command_line,
        scenario_name=loaded.scenario.name,
        scenario_text=loaded.text,
        scenario_hash=loaded.hash,
        scenario_file=str(loaded.path),
        seed=loaded.scenario.seed,
        salt=secrets.token_hex(8),
        attempt=1,
        clock=clock.anchor(),
        host=host_identity.describe() | {"harness_python": sys.version.split()[0]} | _driver_versions(found),
        deployments=[deployment],
        points=points,
        gpus=[] if isinstance(found, Unavailable) else [dataclasses.asdict(gpu) for gpu in found.gpus],
        files=digests(loaded),
    )


def _driver_versions(found: GpuInventory | Unavailable) -> dict[str, str | None]:
    return {} if isinstance(found, Unavailable) else {"nvidia_driver": found.driver, "cuda": found.cuda}


def _resumed(folder: RunFolder, target: OpenTarget, display: Display) -> Manifest:
    manifest = folder.manifest()
    before = manifest.deployments[0]
    notes = list(manifest.notes)
    if before.server != target.deployment.server:
        notes.append(f"attempt {manifest.attempt + 1}: the server describes itself differently than before")
        display.note(notes[-1])
    resumed = dataclasses.replace(manifest, attempt=manifest.attempt + 1, notes=notes)
    folder.write_manifest(resumed)
    return resumed


def _measure_all(
    scenario: Scenario,
    folder: RunFolder,
    manifest: Manifest,
    target: OpenTarget,
    interruption: Interruption,
    display: Display,
    web_ui_port: int | None,
) -> None:
    todo = [item for item in _order(manifest, scenario) if not _is_measured(manifest, *item)]
    share = len(todo) / max(1, sum(point.repetitions for point in manifest.points))
    names = _drivers(scenario, manifest.campaign)
    for point in {item.point_id: item for item, _ in todo}.values():
        name = chosen.driver_of(point.point_id) if len(names) > 1 else names[0]
        chosen.refuse(name, assignment(scenario, folder, manifest, target, point, 0))
    display.planned(manifest.points, len(todo), share * estimate(scenario, manifest.points).total_s)
    with (
        _merging(folder),
        chosen.opened(names, folder.path / "driver.log", scenario.load_generator.processes, web_ui_port) as driver,
        Observer(folder, manifest.attempt, scenario.telemetry, target.endpoint, driver.pid) as observer,
    ):
        for number, (point, repetition) in enumerate(todo, start=1):
            display.repetition_started(point, repetition, number, len(todo))
            task = assignment(scenario, folder, manifest, target, point, repetition)
            result = measure(task, driver, observer, interruption, target.check_alive, display.figures)
            manifest = dataclasses.replace(
                manifest.with_measurement(result), telemetry_not_available=observer.not_available()
            )
            folder.write_manifest(manifest)
            display.repetition_finished(result)
            _stop_unless_complete(result, interruption)


def _drivers(scenario: Scenario, campaign: str) -> tuple[str, ...]:
    return chosen.ALL if campaign == CROSS_CHECK else (scenario.driver,)


def _order(manifest: Manifest, scenario: Scenario) -> list[tuple[Point, int]]:
    repetitions = max(point.repetitions for point in manifest.points)
    return matrix.order(manifest.points, repetitions, scenario.seed)


def _is_measured(manifest: Manifest, point: Point, repetition: int) -> bool:
    return any(
        m.complete and (m.point_id, m.repetition, m.arm) == (point.point_id, repetition, point.arm)
        for m in manifest.measurements
    )


def _stop_unless_complete(result: Measurement, interruption: Interruption) -> None:
    if result.ended == "target_lost":
        raise TargetNotReady(result.message or "the target stopped answering: nothing but connection failures")
    if result.ended == "driver_failed":
        raise DriverFailed(result.message or "the load generator failed")
    if interruption.requested or result.ended == "interrupted":
        raise Interrupted("interrupted")


@contextlib.contextmanager
def _merging(folder: RunFolder) -> Iterator[None]:
    """Merge the parts however the loop ends; a disk that is full must not hide the first error."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(RunFolderError):
            folder.merge_parts()
        raise
    folder.merge_parts()


@contextlib.contextmanager
def _keeping_server_log(target: OpenTarget, folder: RunFolder) -> Iterator[None]:
    """The end of the log of a server that we started stays with the run."""
    try:
        yield
    finally:
        if target.log_path is not None:
            with contextlib.suppress(OSError):
                folder.write_text("server.log", _tail(target.log_path, SERVER_LOG_BYTES))


def _tail(path: Path, most_bytes: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        return file.read().decode(errors="replace")


@contextlib.contextmanager
def _naming(folder: RunFolder) -> Iterator[None]:
    """Errors from here on know the run folder, so that the command line can say where the kept data lies."""
    try:
        yield
    except HarnessError as error:
        error.kept_in = folder.path
        raise
    except KeyboardInterrupt:
        interrupted = Interrupted("interrupted twice: the repetition in progress is lost")
        interrupted.kept_in = folder.path
        raise interrupted from None
