"""The `sweep` campaign: every combination of `vary` is a deployment, every deployment is measured at every load.

Each deployment is started once, in seeded order; the first one is the reference, and comes back in between and at the
end, so that a drift of the machine shows. What is still to do follows from the manifest alone: a sweep that was
killed goes on with `--resume`. A combination that does not start, or goes away under load, is a result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from harness.campaigns import bench, pruning, same_server
from harness.campaigns.bench import Bench, Repetition, Work
from harness.campaigns.calibration_profile import in_force_as_json
from harness.campaigns.display import Display
from harness.campaigns.drawing import files_read, plan_of, points_of
from harness.campaigns.folder import first_manifest, keeping_server_log, merging, naming, new_folder, next_attempt
from harness.campaigns.limits import refuse_clamped
from harness.campaigns.opening import open_target
from harness.campaigns.pace import Pace
from harness.drivers import chosen
from harness.drivers.driver import Driver
from harness.errors import TargetNotReady, UsageError
from harness.measure.interruption import Interruption
from harness.plan import deployments as deploying
from harness.plan import matrix
from harness.plan.deployments import Combination, Session
from harness.records.calibration import FILE as CALIBRATION_FILE
from harness.records.manifest import Deployment, Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.loader import Loaded
from harness.scenario.schema import Scenario
from harness.scenario.target import EngineTarget
from harness.target.opened import OpenTarget

SWEEP = "sweep"
ENGINES = "engines"  # folder of the run folder: the spec of every combination
RESUME = "harness sweep --resume"
RESUME_PRUNING = "harness sweep --prune --resume"


@dataclass(frozen=True)
class SweepRequest:
    """What to sweep and where to keep it. With `resume`, what is missing in that folder is measured."""

    loaded: Loaded
    runs: Path
    command_line: list[str]
    resume: RunFolder | None = None
    prune: bool = False  # what is beaten beyond doubt after its first repetitions is not finished; else it will be


def sweep(request: SweepRequest, display: Display) -> RunFolder:
    """Run the campaign; returns the run folder.

    Raises UsageError for a scenario that varies nothing, Interrupted or DriverFailed (with `kept_in` set), and
    TargetNotReady when no combination starts.
    """
    scenario = request.loaded.scenario
    combinations = deploying.combinations(scenario)
    chosen.require((scenario.driver,), scenario.load_generator.processes)
    folder, manifest = _prepare(request, combinations, display)
    with Interruption() as interruption, naming(folder, RESUME_PRUNING if request.prune else RESUME), merging(folder):
        work = Work(scenario, folder, interruption, display)
        with bench.opened_driver(work, (scenario.driver,)) as driver:
            _go_through(work, manifest, driver, request.prune)
    return folder


def _prepare(
    request: SweepRequest, combinations: Sequence[Combination], display: Display
) -> tuple[RunFolder, Manifest]:
    if request.resume is not None:
        manifest = next_attempt(request.resume.manifest())
        manifest = manifest if request.prune else pruning.to_be_finished(manifest)
        request.resume.write_manifest(manifest)
        return request.resume, manifest
    loaded = request.loaded
    folder = RunFolder.create(new_folder(request.runs, loaded.scenario.name, loaded.short_hash))
    (folder.path / ENGINES).mkdir()
    for one in combinations:
        (folder.path / ENGINES / f"{one.name}.yaml").write_text(one.text, encoding="utf-8")
        if one.cannot_be:
            display.note(f"cannot be: {one.label}: {one.cannot_be}")
    deployments = [_to_be(one, loaded.scenario) for one in combinations]
    manifest = first_manifest(loaded, folder, SWEEP, request.command_line, deployments, [])
    folder.write_manifest(manifest)
    folder.write_text(CALIBRATION_FILE, in_force_as_json())
    return folder, manifest


def _to_be(one: Combination, scenario: Scenario) -> Deployment:
    """A deployment before it is started: all that is known is what it was asked to be."""
    target = scenario.target
    assert isinstance(target, EngineTarget)
    return Deployment(
        deployment_id=one.deployment_id,
        kind=target.on,
        model=target.model,
        url="",
        protocol=target.protocol,
        engine_name=one.name,
        engine_spec=one.text,
        varied=dict(one.varied),
        settings=_settings(one),
        failure=f"cannot be: {one.cannot_be}" if one.cannot_be else None,
    )


def _settings(one: Combination) -> dict[str, object]:
    settings = getattr(one.spec, "settings", None)
    return {} if settings is None else dict(settings.model_dump(mode="json"))


def _go_through(work: Work, manifest: Manifest, driver: Driver, prune: bool) -> None:
    """Start what has something left to measure, until nothing is left. Each turn measures, or records a failure."""
    most = 2 * len(manifest.deployments) + 2
    pace = Pace()
    if manifest.points:
        _announce(work, manifest)
    for number in range(most):
        session = _next_session(manifest)
        if session is None:
            break
        manifest = _hold(_Turn(work, driver, f"s{number}", pace, prune), manifest, session)
        pace.stopped()
        work.display.step(pace.describe(manifest, _left(manifest)))
    if not manifest.points:
        reasons = [d.failure for d in manifest.deployments if d.failure and not d.failure.startswith("cannot be")]
        raise TargetNotReady(f"no combination starts: {reasons[0] if reasons else 'none is left'}")


@dataclass(frozen=True)
class _Turn:
    """What one start of a deployment needs besides the deployment."""

    work: Work
    driver: Driver
    label: str  # tells its files from those of other starts of the same attempt
    pace: Pace
    prune: bool


def _order(manifest: Manifest) -> list[str]:
    """The deployments that can be measured, in seeded order; the reference, once there is one, comes first."""
    order = deploying.start_order([d.deployment_id for d in manifest.deployments], manifest.seed)
    alive = [id for id in order if manifest.deployment(id).failure is None]
    reference = next((point.deployment_id for point in manifest.points if point.purpose == deploying.REFERENCE), None)
    return sorted(alive, key=lambda id: id != reference)


def _next_session(manifest: Manifest) -> Session | None:
    """The first start that has something to measure; before the plan is drawn, the first one."""
    order = _order(manifest)
    if not manifest.points:
        return Session(order[0], True) if order else None
    return next((session for session in deploying.sessions(order) if _todo(manifest, session)), None) if order else None


def _first_session(manifest: Manifest, session: Session) -> Session:
    """The session that opened the sweep, now that it is known which visits of the reference fall into it."""
    known = deploying.sessions(_order(manifest))
    return next((each for each in known if each.deployment_id == session.deployment_id), session)


def _todo(manifest: Manifest, session: Session) -> list[Repetition]:
    """What of a session is not measured: the first visit of the reference before its own points, later ones after."""
    mine = [point for point in manifest.points if point.deployment_id == session.deployment_id]
    own = [point for point in mine if point.purpose != deploying.REFERENCE]
    if session.points and manifest.deployment(session.deployment_id).pruned is None:
        repetitions = max(point.repetitions for point in own)
        wanted = matrix.order(own, repetitions, manifest.seed)
    else:
        wanted = []
    reference = [point for point in mine if point.purpose == deploying.REFERENCE]
    visits = [(point, visit) for point in reference for visit in session.reference]
    before, after = [v for v in visits if v[1] == 0], [v for v in visits if v[1] != 0]
    return [item for item in [*before, *wanted, *after] if not bench.is_measured(manifest, *item)]


def _left(manifest: Manifest) -> tuple[int, int]:
    """(repetitions, starts) that are still to come."""
    order = _order(manifest)
    todo = [len(_todo(manifest, session)) for session in deploying.sessions(order)] if order and manifest.points else []
    return sum(todo), sum(1 for count in todo if count)


def _hold(turn: _Turn, manifest: Manifest, session: Session) -> Manifest:
    """Start the deployment, measure what is missing of the session, stop it. A failure of it is written down."""
    work, deployment = turn.work, manifest.deployment(session.deployment_id)
    work.display.step(f"starting {deploying.label(deployment.varied)}")
    opened = False
    turn.pace.starting()
    try:
        with (
            open_target(_target(work, deployment), progress=work.display.step) as target,
            keeping_server_log(target, work.folder, f"server-{deployment.deployment_id}.log"),
        ):
            opened = True
            turn.pace.started()
            manifest = _described(work, manifest, deployment, target)
            if not manifest.points:
                manifest = _drawn(work, manifest, target)
                session = _first_session(manifest, session)
            todo = _todo(manifest, session) if manifest.deployment(session.deployment_id).failure is None else []
            bench.refuse(work, manifest, target, todo, (work.scenario.driver,))
            with bench.opened(work, manifest, target, turn.driver, turn.label) as one:
                return _measure(turn, one, manifest, todo)
    except (TargetNotReady, UsageError) as error:
        if opened and isinstance(error, UsageError):
            raise
        words = "went away under load" if opened else "does not start"
        return _failed(work, deployment.deployment_id, f"{words}: {' '.join(error.message.split())}")


def _target(work: Work, deployment: Deployment) -> EngineTarget:
    assert isinstance(work.scenario.target, EngineTarget)
    file = work.folder.path / ENGINES / f"{deployment.engine_name}.yaml"
    return work.scenario.target.model_copy(update={"engine": str(file.resolve())})


def _described(work: Work, manifest: Manifest, planned: Deployment, target: OpenTarget) -> Manifest:
    """With what the server says it is, under the id that the plan knows."""
    said = dataclasses.replace(
        target.deployment, deployment_id=planned.deployment_id, varied=planned.varied, pruned=planned.pruned
    )
    described = manifest.with_deployment(said)
    who = f"server of {deploying.label(planned.varied)}"
    changed = same_server.note(manifest.attempt, who, planned, said) if planned.server else None
    if changed is not None:
        work.display.note(changed)
        described = dataclasses.replace(described, notes=[*described.notes, changed])
    work.folder.write_manifest(described)
    return described


def _drawn(work: Work, manifest: Manifest, target: OpenTarget) -> Manifest:
    """The plan of the whole sweep: what differs between its deployments changes neither lengths nor prompts."""
    scenario, display = files_read(work.scenario, target), work.display
    display.step("drawing the plan")
    order = _order(manifest)
    points = [p for id in (d.deployment_id for d in manifest.deployments) if id in order for p in _points(scenario, id)]
    first = [point for point in points if point.deployment_id == order[0]]
    visits = 1 + max(visit for session in deploying.sessions(order) for visit in session.reference)
    points.append(deploying.reference_of(first, visits))
    plan = plan_of(scenario, points, target)
    work.folder.write_plan(plan)
    drawn = _without_clamped(work, dataclasses.replace(manifest, points=points), plan)
    work.folder.write_manifest(drawn)
    _announce(work, drawn)
    return drawn


def _announce(work: Work, manifest: Manifest) -> None:
    """Tell how much is to be measured, and about how long that takes."""
    repetitions, starts = _left(manifest)
    if not repetitions:
        work.display.step("nothing is left to measure")
        return
    share = repetitions / max(1, sum(point.repetitions for point in manifest.points))
    seconds = Pace.beforehand_s(work.scenario, manifest.points, starts, share)
    work.display.planned(manifest.points, repetitions, seconds)


def _without_clamped(work: Work, manifest: Manifest, plan: pa.Table) -> Manifest:
    """Where answers would be cut silently, the combination cannot be measured. Raises UsageError where all would."""
    refusals = []
    for deployment in [d for d in manifest.deployments if d.failure is None]:
        mine = [point.point_id for point in manifest.points if point.deployment_id == deployment.deployment_id]
        try:
            refuse_clamped(plan.filter(pc.is_in(plan["point_id"], value_set=pa.array(mine))), deployment)
        except UsageError as error:
            refusals.append(error)
            work.display.note(f"cannot be measured: {deploying.label(deployment.varied)}: {error.message}")
            failure = f"cannot be measured: {error.message}"
            manifest = manifest.with_deployment(dataclasses.replace(deployment, failure=failure))
    if refusals and not _order(manifest):
        raise refusals[0]
    return manifest


def _points(scenario: Scenario, deployment_id: str) -> list[Point]:
    return [
        dataclasses.replace(point, point_id=f"{deployment_id}-{point.point_id}")
        for point in points_of(scenario, deployment_id)
    ]


def _measure(turn: _Turn, one: Bench, manifest: Manifest, todo: Sequence[Repetition]) -> Manifest:
    total = _left(manifest)[0]
    looked_at = 0  # repetitions of all its own points, after which the rule was asked
    for number, (point, repetition) in enumerate(todo, start=1):
        own = point.purpose != deploying.REFERENCE
        if turn.prune and own and repetition > looked_at:
            looked_at = repetition
            manifest = _pruned(turn.work, manifest, point.deployment_id)
        if own and manifest.deployment(point.deployment_id).pruned:
            continue
        turn.work.display.repetition_started(point, repetition, number, total)
        manifest, result = one.measure(manifest, point, repetition)
        turn.pace.measured()
        turn.work.display.repetition_finished(result)
        repetitions, starts = _left(manifest)
        left_s = turn.pace.left_s(repetitions, starts - (number < len(todo)))  # this start is not still to come
        if left_s is not None:
            turn.work.display.remaining(left_s)
        bench.stop_unless_complete(result, turn.work.interruption)
    return manifest


def _pruned(work: Work, manifest: Manifest, deployment_id: str) -> Manifest:
    """With the note that this deployment is not finished, where it is beaten beyond doubt."""
    deployment = manifest.deployment(deployment_id)
    why = pruning.why_beaten(work.folder, manifest, deployment_id)
    if why is None:
        return manifest
    work.display.note(f"not finished: {deploying.label(deployment.varied)}: {why}")
    noted = manifest.with_deployment(dataclasses.replace(deployment, pruned=why))
    work.folder.write_manifest(noted)
    return noted


def _failed(work: Work, deployment_id: str, why: str) -> Manifest:
    manifest = work.folder.manifest()
    deployment = manifest.deployment(deployment_id)
    work.display.note(f"{deploying.label(deployment.varied)}: {why}")
    failed = manifest.with_deployment(dataclasses.replace(deployment, failure=why))
    work.folder.write_manifest(failed)
    return failed
