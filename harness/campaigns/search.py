"""The `size` campaign: for each engine configuration the highest load that meets the objectives, probe by probe.

What is probed next is `analysis.search.next_probe`'s decision; here it is measured and judged. The history stands in
`search.json` of the run folder, so that a search that was killed goes on with `--resume`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.analysis.objective_counts import SHARES
from harness.analysis.search import Found, Probe, Probed, SearchSettings, estimated_probes, next_probe, probe_requests
from harness.assess.probe import ProbeResult, judge_probe
from harness.campaigns import bench
from harness.campaigns.bench import Bench, Work
from harness.campaigns.calibration_profile import in_force_as_json
from harness.campaigns.display import Display
from harness.campaigns.drawing import files_read, plan_of
from harness.campaigns.folder import first_manifest, keeping_server_log, merging, naming, new_folder, next_attempt
from harness.campaigns.limits import refuse_clamped
from harness.drivers import chosen
from harness.drivers.driver import Driver
from harness.errors import TargetNotReady, UsageError
from harness.measure.interruption import Interruption
from harness.plan import deployments as deploying
from harness.plan.probing import probe_point, probe_scenario, window_s
from harness.records.calibration import FILE as CALIBRATION_FILE
from harness.records.manifest import Deployment, Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.load import ClosedLoop
from harness.scenario.loader import Loaded
from harness.scenario.schema import Scenario
from harness.scenario.size import Size
from harness.scenario.target import AttachTarget, EngineTarget
from harness.target.opened import open_target

SIZE = "size"
RESUME = "harness size --resume"
STATE = "search.json"
ENGINES = "engines"
ONLY = "only"  # key of the one configuration of a scenario that varies nothing


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
    wanted = configurations(scenario)
    folder, manifest = _prepare(request)
    settings = search_settings(scenario, scenario.size)
    display.note(estimate(scenario, settings, len(wanted)))
    with Interruption() as interruption, naming(folder, RESUME), merging(folder):
        work = Work(scenario, folder, interruption, display)
        with bench.opened_driver(work, (scenario.driver,)) as driver:
            for number, (key, label, engine) in enumerate(wanted):
                manifest = _configuration(_Turn(work, driver, settings, f"s{number}"), manifest, key, label, engine)
    return folder


def search_settings(scenario: Scenario, size: Size) -> SearchSettings:
    """The settings of the pure search. In the other modes one load is measured, as often as it would be confirmed."""
    shares = [SHARES[o.statistic] for o in scenario.objectives if o.statistic in SHARES]
    return SearchSettings(
        lowest=size.lowest,
        highest=size.highest,
        share=max(shares, default=0.9),
        resolution=size.resolution,
        confidence=size.confidence,
        confirm_confidence=size.confirm_confidence,
        confirmations=size.confirmations,
        most_probes=size.most_probes,
        integer=isinstance(scenario.load, ClosedLoop),
    )


def state_of(folder: RunFolder) -> dict[str, Any]:
    """The content of `search.json`: configuration → label, deployment, history, found or failure."""
    path = folder.path / STATE
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def configurations(scenario: Scenario) -> list[tuple[str, str, str | None]]:
    """(key, settings in words, engine name) of every configuration; the engine is None where nothing varies."""
    if scenario.vary is None:
        return [(ONLY, "", None)]
    return [(one.deployment_id, one.label, one.name) for one in deploying.combinations(scenario)]


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


def estimate(scenario: Scenario, settings: SearchSettings, configurations: int) -> str:
    """How long it will take, before anything is started: probes at the middle of the range."""
    probes = estimated_probes(settings) if _searches(scenario) else settings.confirmations + 1
    requests = probe_requests(settings.share, settings.confidence)
    size = scenario.size
    assert size is not None
    middle = (settings.lowest * settings.highest) ** 0.5
    probe_s = scenario.phases.warm_up_s + 2.0
    probe_s += 30.0 if settings.integer else window_s(size, middle, requests)
    minutes = configurations * probes * probe_s / 60
    return (
        f"{configurations} configuration{'s' * (configurations > 1)}, about {probes} probes each of at least"
        f" {requests} requests: about {max(minutes, 0.5):.0f} min"
    )


def _searches(scenario: Scenario) -> bool:
    return scenario.size is not None and scenario.size.mode == "objectives"


@dataclass(frozen=True)
class _Turn:
    """What one configuration needs besides itself."""

    work: Work
    driver: Driver
    settings: SearchSettings
    label: str


def _configuration(turn: _Turn, manifest: Manifest, key: str, label: str, engine: str | None) -> Manifest:
    """Search one configuration to its end; one that does not start, or cannot be, is a result."""
    work, entry = turn.work, state_of(turn.work.folder).get(key, {})
    if entry.get("found") or entry.get("failure"):
        return manifest
    if label:
        work.display.step(f"starting {label}")
    target = work.scenario.target
    if engine is not None and isinstance(target, EngineTarget):
        file = (work.folder.path / ENGINES / f"{engine}.yaml").resolve()
        target = target.model_copy(update={"engine": str(file)})
    try:
        with _opened(turn, manifest, target, key, label) as (one, described):
            return _search(turn, one, described, key, label)
    except (TargetNotReady, UsageError) as error:
        if not label or turn.work.interruption.requested:
            raise
        why = f"does not start: {' '.join(error.message.split())}"
        work.display.note(f"{label}: {why}")
        _write(work.folder, key, {"label": label, "history": entry.get("history", []), "failure": why})
        return work.folder.manifest()


@contextlib.contextmanager
def _opened(
    turn: _Turn, manifest: Manifest, target: EngineTarget | AttachTarget, key: str, label: str
) -> Iterator[tuple[Bench, Manifest]]:
    work = turn.work
    with (
        open_target(target, progress=work.display.step) as opened,
        keeping_server_log(opened, work.folder, f"server-{key}.log"),
    ):
        said = opened.deployment if not label else dataclasses.replace(opened.deployment, deployment_id=key)
        described = _with_deployment(manifest, said)
        work.folder.write_manifest(described)
        renamed = dataclasses.replace(opened, deployment=said)
        with bench.opened(work, described, renamed, turn.driver, turn.label) as one:
            yield one, described


def _with_deployment(manifest: Manifest, said: Deployment) -> Manifest:
    if any(known.deployment_id == said.deployment_id for known in manifest.deployments):
        return manifest.with_deployment(said)
    return dataclasses.replace(manifest, deployments=[*manifest.deployments, said])


def _search(turn: _Turn, one: Bench, manifest: Manifest, key: str, label: str) -> Manifest:
    entry: dict[str, Any] = {"label": label, "deployment_id": one.target.deployment.deployment_id, "history": []}
    entry |= state_of(turn.work.folder).get(key, {})
    scenario = files_read(turn.work.scenario, one.target)
    for _ in range(turn.settings.most_probes + 1):
        step = _next(scenario, [probed_of(each) for each in entry["history"]], turn.settings)
        if isinstance(step, Found):
            entry["found"] = dataclasses.asdict(step)
            _write(turn.work.folder, key, entry)
            turn.work.display.note(f"{label + ': ' if label else ''}{step.why}")
            break
        number = len(manifest.points)
        manifest, point, result = _probe(turn, one, manifest, scenario, step, number)
        entry["history"].append(_kept(step, point, result))
        _write(turn.work.folder, key, entry)
        turn.work.display.note(f"{step.purpose} {step.load:g}: {result.answer}, {result.detail}")
    return manifest


def _next(scenario: Scenario, history: Sequence[Probed], settings: SearchSettings) -> Probe | Found:
    """The search's decision; in the other modes the same load again and again."""
    if _searches(scenario):
        return next_probe(history, settings)
    assert scenario.size is not None
    load = settings.highest if scenario.size.mode == "throughput" else settings.lowest
    if len(history) > settings.confirmations:
        answers = f"measured {len(history)} times at {load:g} ({scenario.size.mode} only: no objective is looked at)"
        return Found(load, load, None, answers, len(history))
    requests = probe_requests(settings.share, settings.confidence)
    return Probe(len(history), load, "confirm", settings.confidence, requests)


def _probe(
    turn: _Turn, one: Bench, manifest: Manifest, scenario: Scenario, step: Probe, number: int
) -> tuple[Manifest, Point, ProbeResult]:
    """Plan, measure and judge one probe."""
    work = turn.work
    own = probe_scenario(scenario, step.load, step.requests, number)
    point = probe_point(own, one.target.deployment.deployment_id, number)
    plan = plan_of(own, [point], one.target)
    refuse_clamped(plan, one.target.deployment)
    path = work.folder.path / "plan.parquet"
    work.folder.write_plan(pa.concat_tables([work.folder.plan(), plan]) if path.exists() else plan)
    manifest = dataclasses.replace(manifest, points=[*manifest.points, point])
    work.folder.write_manifest(manifest)
    probing = dataclasses.replace(one, work=dataclasses.replace(work, scenario=own))
    manifest, measured = probing.measure(manifest, point, 0)
    bench.stop_unless_complete(measured, work.interruption)
    return manifest, point, judge_probe(work.folder, manifest, own, point, step.confidence)


def _kept(step: Probe, point: Point, result: ProbeResult) -> dict[str, Any]:
    return {"probe": dataclasses.asdict(step), "point_id": point.point_id, "result": dataclasses.asdict(result)}


def probed_of(kept: Mapping[str, Any]) -> Probed:
    """A probe with its answer, as `search.json` keeps it."""
    return Probed(Probe(**kept["probe"]), kept["result"]["answer"], kept["result"]["detail"])


def _write(folder: RunFolder, key: str, entry: Mapping[str, Any]) -> None:
    content = state_of(folder) | {key: entry}
    folder.write_text(STATE, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
