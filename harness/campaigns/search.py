"""The `size` campaign: for each engine configuration the highest load that meets the objectives, probe by probe.

What is probed next is decided by pure functions (`search_steps`); one probe is measured and judged in `search_probe`.
The history stands in `search.json` of the run folder, so that a search that was killed goes on with `--resume`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.search import Found, SearchSettings, show
from harness.campaigns import bench
from harness.campaigns.bench import Bench, Work
from harness.campaigns.calibration_profile import in_force_as_json
from harness.campaigns.display import Display
from harness.campaigns.drawing import files_read
from harness.campaigns.folder import first_manifest, keeping_server_log, merging, naming, new_folder, next_attempt
from harness.campaigns.opening import open_target
from harness.campaigns.search_probe import Place, answer, ask
from harness.campaigns.search_steps import SearchPace, Wanted, configurations, estimate, next_step, search_settings
from harness.drivers import chosen
from harness.drivers.driver import Driver
from harness.errors import TargetNotReady, UsageError
from harness.measure.interruption import Interruption
from harness.plan import deployments as deploying
from harness.records import search_file
from harness.records.calibration import FILE as CALIBRATION_FILE
from harness.records.manifest import Deployment, Manifest
from harness.records.search_file import SearchState
from harness.records.store import RunFolder
from harness.scenario.loader import Loaded
from harness.scenario.size import Size
from harness.scenario.target import AttachTarget, EngineTarget

SIZE = "size"
RESUME = "harness size --resume"
ENGINES = "engines"


@dataclass(frozen=True)
class SizeRequest:
    """What to search and where to keep it. With `resume`, the search in that folder goes on."""

    loaded: Loaded
    runs: Path
    command_line: list[str]
    resume: RunFolder | None = None


def size(request: SizeRequest, display: Display) -> RunFolder:
    """Run the search; returns the run folder, whose `search.json` holds every probe and what was found.

    Raises UsageError for a scenario without `size`, Interrupted, DriverFailed or TargetNotReady with `kept_in` set.
    """
    scenario = request.loaded.scenario
    if scenario.size is None:
        raise UsageError(
            f"{scenario.name} has no `size` block",
            hint="add e.g. `size: {lowest: 1, highest: 64}` (requests per second, or in flight) and an objective",
        )
    chosen.require((scenario.driver,), scenario.load_generator.processes)
    folder, manifest = _prepare(request)
    states, settings = search_file.read(folder), search_settings(scenario, scenario.size)
    wanted = [one for one in configurations(scenario) if one.key not in states or not _has_ended(states[one.key])]
    if not wanted:
        display.note("every configuration has its answer already")
        return folder
    display.note(estimate(scenario.size, scenario.phases.warm_up_s, settings, len(wanted)))
    pace = SearchPace(scenario.size, settings)
    with Interruption() as interruption, naming(folder, RESUME), merging(folder):
        work = Work(scenario, folder, interruption, display)
        with bench.opened_driver(work, (scenario.driver,)) as driver:
            for number, one in enumerate(wanted):
                turn = _Turn(work, driver, scenario.size, settings, pace, number, len(wanted) - number - 1)
                manifest = _configuration(turn, manifest, one)
    return folder


def _prepare(request: SizeRequest) -> tuple[RunFolder, Manifest]:
    if request.resume is not None:
        manifest = next_attempt(request.resume.manifest())
        request.resume.write_manifest(manifest)
        return request.resume, manifest
    loaded = request.loaded
    folder = RunFolder.create(new_folder(request.runs, loaded.scenario.name, loaded.short_hash))
    if loaded.scenario.vary is not None:
        (folder.path / ENGINES).mkdir()
        for one in deploying.combinations(loaded.scenario):
            (folder.path / ENGINES / f"{one.name}.yaml").write_text(one.text, encoding="utf-8")
    manifest = first_manifest(loaded, folder, SIZE, request.command_line, [], [])
    folder.write_manifest(manifest)
    folder.write_text(CALIBRATION_FILE, in_force_as_json())
    return folder, manifest


@dataclass(frozen=True)
class _Turn:
    """What one configuration needs besides itself."""

    work: Work
    driver: Driver
    size: Size
    settings: SearchSettings
    pace: SearchPace
    number: int
    waiting: int  # configurations that come after it


def _configuration(turn: _Turn, manifest: Manifest, wanted: Wanted) -> Manifest:
    """Search one configuration to its end; one that does not start, or goes away under load, is a result."""
    work, started = turn.work, False
    if wanted.label:
        work.display.step(f"starting {wanted.label}")
    try:
        with _opened(turn, manifest, wanted) as (one, described):
            started = True
            place = Place(one, files_read(work.scenario, one.target), wanted.key, turn.settings.share)
            return _search(turn, place, described, wanted.label)
    except (TargetNotReady, UsageError) as error:
        if not wanted.label or work.interruption.requested:
            raise
        _keep_failure(turn, wanted, started, error)
        return work.folder.manifest()


def _state(folder: RunFolder, key: str, label: str) -> SearchState:
    return search_file.read(folder).get(key) or SearchState(label=label)


def _has_ended(state: SearchState) -> bool:
    """INVALID says something about the session, not about the configuration: another session tries again."""
    return state.failure is not None or (state.found is not None and state.found["status"] != "invalid")


def _keep_failure(turn: _Turn, wanted: Wanted, started: bool, error: TargetNotReady | UsageError) -> None:
    """Write down, beside all that was measured, why a configuration has no answer.

    A target that was lost may be there again in another session; the other two are results.
    """
    state, why = _state(turn.work.folder, wanted.key, wanted.label), " ".join(error.message.split())
    if started and isinstance(error, TargetNotReady):
        words = f"went away under load: {why}"
        state = dataclasses.replace(state, went_away=words)
    else:
        words = f"{'cannot be measured' if started else 'does not start'}: {why}"
        state = dataclasses.replace(state, failure=words)
    turn.work.display.note(f"{wanted.label}: {words}")
    search_file.write(turn.work.folder, wanted.key, state)


def _target(work: Work, engine: str | None) -> EngineTarget | AttachTarget:
    target = work.scenario.target
    if engine is None or not isinstance(target, EngineTarget):
        return target
    file = (work.folder.path / ENGINES / f"{engine}.yaml").resolve()
    return target.model_copy(update={"engine": str(file)})


@contextlib.contextmanager
def _opened(turn: _Turn, manifest: Manifest, wanted: Wanted) -> Iterator[tuple[Bench, Manifest]]:
    work = turn.work
    with (
        open_target(_target(work, wanted.engine_name), progress=work.display.step) as opened,
        keeping_server_log(opened, work.folder, f"server-{wanted.key}.log"),
    ):
        said = opened.deployment
        if wanted.label:
            said = dataclasses.replace(said, deployment_id=wanted.key, varied=dict(wanted.varied))
        described = _with_deployment(manifest, said)
        work.folder.write_manifest(described)
        renamed = dataclasses.replace(opened, deployment=said)
        with bench.opened(work, described, renamed, turn.driver, f"s{turn.number}") as one:
            yield one, described


def _with_deployment(manifest: Manifest, said: Deployment) -> Manifest:
    if any(known.deployment_id == said.deployment_id for known in manifest.deployments):
        return manifest.with_deployment(said)
    return dataclasses.replace(manifest, deployments=[*manifest.deployments, said])


def _search(turn: _Turn, place: Place, manifest: Manifest, label: str) -> Manifest:
    """Ask, measure, judge, until the search says what was found."""
    display, state = turn.work.display, _begun(place, label)
    for _ in range(turn.settings.most_probes + 2):  # every step makes the history longer, or ends
        if state.asked is None:
            step = next_step(turn.size, state, turn.settings)
            if isinstance(step, Found):
                place.keep(dataclasses.replace(state, found=dataclasses.asdict(step)))
                display.note(f"{label + ': ' if label else ''}{step.why}")
                break
            manifest, state = ask(place, manifest, state, step)
        manifest, state = answer(place, manifest, state)
        probe, result = state.history[-1].probe, state.history[-1].result
        left = turn.pace.describe(state.history, turn.waiting)
        display.note(f"{probe['purpose']} {show(probe['load'])}: {result['answer']}, {result['detail']} ({left})")
    return manifest


def _begun(place: Place, label: str) -> SearchState:
    """The state to go on from: a deployment of its own, and without the INVALID probes at which a session gave up."""
    state = _state(place.bench.work.folder, place.key, label)
    deployment_id = place.bench.target.deployment.deployment_id
    state = dataclasses.replace(state, deployment_id=deployment_id, went_away=None)
    if state.found is None:
        return place.keep(state)
    kept = len(state.history)
    while kept and state.history[kept - 1].result["answer"] == "invalid":
        kept -= 1
    aside = (*state.set_aside, *state.history[kept:])
    return place.keep(dataclasses.replace(state, history=state.history[:kept], set_aside=aside, found=None))
