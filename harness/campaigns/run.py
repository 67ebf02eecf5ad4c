"""The `run` campaign: one scenario, one target, every point in its seeded order, into one run folder.

It starts the target, draws the plan, loops over the repetitions that are missing, and keeps what was measured whatever
happens. Judging is the right half's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.campaigns import bench, same_server
from harness.campaigns.bench import Repetition, Work
from harness.campaigns.calibration_profile import in_force_as_json
from harness.campaigns.display import Display
from harness.campaigns.drawing import files_read, plan_of, points_of
from harness.campaigns.folder import first_manifest, keeping_server_log, merging, naming, new_folder, next_attempt
from harness.campaigns.limits import refuse_clamped, refuse_varied
from harness.campaigns.opening import open_target
from harness.drivers import chosen
from harness.measure.interruption import Interruption
from harness.plan import matrix
from harness.plan.estimate import estimate
from harness.records.calibration import FILE as CALIBRATION_FILE
from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from harness.scenario.loader import Loaded
from harness.scenario.schema import Scenario
from harness.target.opened import OpenTarget

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

    Raises UsageError for a scenario that varies settings; Interrupted, TargetNotReady or DriverFailed, with `kept_in`
    set once something may have been measured.
    """
    scenario = request.loaded.scenario
    refuse_varied(scenario)
    chosen.require(_drivers(scenario, request.campaign), scenario.load_generator.processes)
    with Interruption() as interruption, open_target(scenario.target, progress=display.step) as target:
        folder, manifest = _prepare(request, target, display)
        work = Work(scenario, folder, interruption, display)
        with naming(folder), keeping_server_log(target, folder):
            _measure_missing(work, manifest, target, request.web_ui_port)
    return folder


def _prepare(request: RunRequest, target: OpenTarget, display: Display) -> tuple[RunFolder, Manifest]:
    if request.resume is not None:
        return request.resume, _resumed(request.resume, target, display)
    loaded = request.loaded
    scenario = files_read(loaded.scenario, target)
    display.step("drawing the plan")
    points = points_of(scenario, target.deployment.deployment_id)
    if request.campaign == CROSS_CHECK:
        points = chosen.once_with_each(points)
    plan = plan_of(scenario, points, target)
    refuse_clamped(plan, target.deployment)
    folder = RunFolder.create(new_folder(request.runs, scenario.name, loaded.short_hash))
    manifest = first_manifest(loaded, folder, request.campaign, request.command_line, [target.deployment], points)
    folder.write_manifest(manifest)
    folder.write_plan(plan)
    folder.write_text(CALIBRATION_FILE, in_force_as_json())
    return folder, manifest


def _resumed(folder: RunFolder, target: OpenTarget, display: Display) -> Manifest:
    manifest = folder.manifest()
    changed = same_server.note(manifest.attempt + 1, "server", manifest.deployments[0], target.deployment)
    if changed:
        display.note(changed)
    resumed = next_attempt(manifest, [changed] if changed else [])
    folder.write_manifest(resumed)
    return resumed


def _measure_missing(work: Work, manifest: Manifest, target: OpenTarget, web_ui_port: int | None) -> None:
    todo = [item for item in _order(manifest, work.scenario) if not bench.is_measured(manifest, *item)]
    names = _drivers(work.scenario, manifest.campaign)
    bench.refuse(work, manifest, target, todo, names)
    share = len(todo) / max(1, sum(point.repetitions for point in manifest.points))
    work.display.planned(manifest.points, len(todo), share * estimate(work.scenario, manifest.points).total_s)
    with (
        merging(work.folder),
        bench.opened_driver(work, names, web_ui_port) as driver,
        bench.opened(work, manifest, target, driver) as opened,
    ):
        bench.measure_all(opened, manifest, todo)


def _drivers(scenario: Scenario, campaign: str) -> tuple[str, ...]:
    return chosen.ALL if campaign == CROSS_CHECK else (scenario.driver,)


def _order(manifest: Manifest, scenario: Scenario) -> list[Repetition]:
    repetitions = max(point.repetitions for point in manifest.points)
    return matrix.order(manifest.points, repetitions, scenario.seed)
