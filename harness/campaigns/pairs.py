"""The campaign of pairs: two live targets, one point, measured in turn until the pairs can decide.

Both targets run at once and one of them is under load; each pair is one repetition of either, in an order that is
drawn. After each look the right half is asked whether more pairs are needed; it also says which pairs cannot be used,
and others are measured in their place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.assess import pairs as assessed
from harness.campaigns import bench, same_server
from harness.campaigns.bench import Work
from harness.campaigns.calibration_profile import in_force_as_json
from harness.campaigns.display import Display
from harness.campaigns.drawing import files_read, plan_of, points_of
from harness.campaigns.folder import first_manifest, keeping_server_log, merging, naming, new_folder, next_attempt
from harness.campaigns.limits import refuse_clamped
from harness.campaigns.named_target import AnyTarget
from harness.campaigns.opening import open_target
from harness.drivers import chosen
from harness.drivers.driver import Driver
from harness.gate.decision import decide
from harness.gate.effects import usable
from harness.gate.lacking import lacking, too_few
from harness.gate.looks import next_look
from harness.gate.pairs import BASELINE, CANDIDATE, Pair
from harness.gate.rule import Rule
from harness.measure.assignment import assignment
from harness.measure.interruption import Interruption
from harness.plan.arms import in_arms, judged_point, order_of_arms, planned_in_window
from harness.plan.estimate import estimate_point
from harness.records.calibration import FILE as CALIBRATION_FILE
from harness.records.manifest import Deployment, Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.loader import Loaded
from harness.target.opened import OpenTarget

GATE_PAIR, GATE_AA = "gate_pair", "gate_aa"  # names of campaigns, in manifests
ARMS = (BASELINE, CANDIDATE)
UNDECIDED = "as long as that is so, the verdict is INCONCLUSIVE (a longer phases.window_s may help)"
SPARE = 2  # for every so many pairs one more is planned, to take the place of one that cannot be used

Targets = Mapping[str, OpenTarget]


@dataclass(frozen=True)
class PairRequest:
    """What to measure and where to keep it. `names`: arm → as the person named it."""

    loaded: Loaded
    names: Mapping[str, str]
    targets: Mapping[str, AnyTarget]
    runs: Path
    command_line: list[str]
    rule: Rule
    time_budget_s: float
    resume: RunFolder | None = None
    campaign: str = GATE_PAIR

    @property
    def planned_pairs(self) -> int:
        """The last look's, and some that can take the place of pairs that cannot be used."""
        return self.rule.looks[-1] + self.rule.looks[-1] // SPARE


def run(request: PairRequest, display: Display) -> RunFolder:
    """Measure until the pairs can decide, or the looks or the time are used up; returns the run folder.

    Raises Interrupted, TargetNotReady or DriverFailed, with `kept_in` set once something may have been measured.
    """
    scenario = request.loaded.scenario
    chosen.require((scenario.driver,), scenario.load_generator.processes)
    with Interruption() as interruption, _both_open(request, display) as targets:
        folder, manifest = _prepare(request, targets, display)
        work = Work(scenario, folder, interruption, display)
        with naming(folder), _keeping_logs(targets, folder):
            _refuse_tasks(work, manifest, targets)
            with merging(folder), bench.opened_driver(work, (scenario.driver,)) as driver:
                _measure_looks(request, _Sides(work, targets, driver), manifest)
    return folder


@contextlib.contextmanager
def _both_open(request: PairRequest, display: Display) -> Iterator[dict[str, OpenTarget]]:
    """Both targets, each with a deployment id of its own."""
    with contextlib.ExitStack() as stack:
        found: dict[str, OpenTarget] = {}
        for arm in ARMS:
            display.step(f"{arm}: {request.names[arm]}")
            found[arm] = stack.enter_context(open_target(request.targets[arm], progress=display.step))
        if len({target.deployment.deployment_id for target in found.values()}) < len(ARMS):
            found = {arm: _as_arm(target, arm) for arm, target in found.items()}
        yield found


def _as_arm(target: OpenTarget, arm: str) -> OpenTarget:
    named = dataclasses.replace(target.deployment, deployment_id=f"{target.deployment.deployment_id}-{arm}")
    return dataclasses.replace(target, deployment=named)


@contextlib.contextmanager
def _keeping_logs(targets: Targets, folder: RunFolder) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for arm, target in targets.items():
            stack.enter_context(keeping_server_log(target, folder, f"server-{arm}.log"))
        yield


def _prepare(request: PairRequest, targets: Targets, display: Display) -> tuple[RunFolder, Manifest]:
    if request.resume is not None:
        return request.resume, _resumed(request.resume, targets, display)
    loaded = request.loaded
    scenario = files_read(loaded.scenario, targets[BASELINE])
    display.step("drawing the plan")
    deployments = {arm: target.deployment for arm, target in targets.items()}
    judged = judged_point(scenario, points_of(scenario, deployments[BASELINE].deployment_id))
    points = in_arms(judged, {arm: each.deployment_id for arm, each in deployments.items()}, request.planned_pairs)
    plan = plan_of(scenario, points, targets[BASELINE])
    requests = planned_in_window(scenario, points[0], plan)
    for lack in [] if requests is None else too_few(request.rule, requests):
        display.note(f"{lack}: {UNDECIDED}")
    for arm, deployment in deployments.items():
        plan_of(scenario, [dataclasses.replace(points[0], repetitions=1)], targets[arm])
        refuse_clamped(plan, deployment)
    folder = RunFolder.create(new_folder(request.runs, scenario.name, loaded.short_hash))
    manifest = _first_manifest(request, folder, list(deployments.values()), points)
    folder.write_manifest(manifest)
    folder.write_plan(plan)
    folder.write_text(CALIBRATION_FILE, in_force_as_json())
    return folder, manifest


def _first_manifest(
    request: PairRequest, folder: RunFolder, deployments: list[Deployment], points: list[Point]
) -> Manifest:
    first = first_manifest(request.loaded, folder, request.campaign, request.command_line, deployments, points)
    return dataclasses.replace(_asking(first, 0), arms=dict(request.names))


def _resumed(folder: RunFolder, targets: Targets, display: Display) -> Manifest:
    manifest = folder.manifest()
    found = (
        same_server.note(manifest.attempt + 1, arm, manifest.deployment(point.deployment_id), targets[arm].deployment)
        for arm, point in zip(ARMS, manifest.points, strict=True)
    )
    notes = [text for text in found if text is not None]
    for text in notes:
        display.note(text)
    resumed = next_attempt(manifest, notes)
    folder.write_manifest(resumed)
    return resumed


def _refuse_tasks(work: Work, manifest: Manifest, targets: Targets) -> None:
    for point in manifest.points:
        task = assignment(work.scenario, work.folder, manifest, targets[str(point.arm)], point, 0)
        chosen.refuse(work.scenario.driver, task)


def _asking(manifest: Manifest, pairs: int) -> Manifest:
    """The manifest that asks for so many repetitions of both arms."""
    return dataclasses.replace(
        manifest, points=[dataclasses.replace(point, repetitions=pairs) for point in manifest.points]
    )


@dataclass(frozen=True)
class _Sides:
    """What stays the same while pairs are measured."""

    work: Work
    targets: Targets
    driver: Driver


def _measure_looks(request: PairRequest, sides: _Sides, manifest: Manifest) -> None:
    """Look after look; what an earlier attempt has measured is looked at first. Each round measures at least a pair."""
    work, begun_s = sides.work, time.monotonic()
    pair_s = 2 * estimate_point(work.scenario, dataclasses.replace(manifest.points[0], repetitions=1)).total_s
    while True:
        found = assessed.pairs_of(work.folder)
        left_s = request.time_budget_s - (time.monotonic() - begun_s)
        wanted, why = wanted_pairs(request.rule, found, left_s, pair_s)
        todo = missing(found, wanted, request.planned_pairs)
        work.display.step(why)
        if not todo:
            return
        manifest = _asking(manifest, max(todo) + 1)
        work.folder.write_manifest(manifest)
        work.display.planned(manifest.points, len(todo) * len(ARMS), len(todo) * pair_s)
        now = todo if found else todo[:1]  # after the first pair it is known how long one takes, and what it lacks
        round_s = time.monotonic()
        manifest = _measure_pairs(sides, manifest, now)
        pair_s = (time.monotonic() - round_s) / len(now)
        if not found:
            _warn_of_missing_values(request.rule, assessed.pairs_of(work.folder), work.display)


def wanted_pairs(rule: Rule, found: Sequence[Pair], left_s: float, pair_s: float) -> tuple[int | None, str]:
    """How many usable pairs are wanted in all (None: enough), and why. Only declared looks decide anything."""
    n = len(usable(found, rule.metrics).pairs)
    if n < rule.looks[0]:
        return rule.looks[0], f"the first look needs {rule.looks[0]} pairs: {rule.looks[0] - n} more"
    reached = sum(size <= n for size in rule.looks)
    following = next_look(decide(found, rule, reached), rule, len(found), left_s, pair_s)
    wanted = None if following.look is None else rule.looks[following.look - 1]
    return wanted, f"{n} pairs: {following.why}"


def _warn_of_missing_values(rule: Rule, found: Sequence[Pair], display: Display) -> None:
    for lack in (lack for pair in found for lack in lacking(rule, pair)):
        display.note(f"{lack}: {UNDECIDED}")


def missing(found: Sequence[Pair], wanted: int | None, planned: int) -> list[int]:
    """The pairs to measure next so that `wanted` of them can be used; as many of them as are planned.

    None once so many cannot be used that the arm is INVALID anyway.
    """
    unusable = sum(bool(pair.invalid) for pair in found)
    if wanted is None or unusable > wanted // SPARE:
        return []
    more = wanted - (len(found) - unusable)
    measured = {pair.index for pair in found}
    return [number for number in range(planned) if number not in measured][: max(0, more)]


def _measure_pairs(sides: _Sides, manifest: Manifest, todo: Sequence[int]) -> Manifest:
    """Both arms of these pairs; a half that was measured before a pair was broken off is measured again."""
    work = sides.work
    of_arm = {str(point.arm): point for point in manifest.points}
    halves = [(arm, pair) for pair in todo for arm in order_of_arms(ARMS, pair, work.scenario.seed)]
    for number, (arm, pair) in enumerate(halves, start=1):
        point = of_arm[arm]
        with bench.opened(work, manifest, sides.targets[arm], sides.driver, f"{arm}-{pair}") as opened:
            work.display.repetition_started(point, pair, number, len(halves))
            manifest, result = opened.measure(manifest, point, pair)
        work.display.repetition_finished(result)
        bench.stop_unless_complete(result, work.interruption)
    return manifest
