"""One probe of a search: planned, measured and judged; `search.json` knows of it before it is measured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from harness.analysis.search import Probe, hopeless
from harness.assess.probe import judge_probe, went_away
from harness.campaigns import bench
from harness.campaigns.bench import Bench
from harness.campaigns.drawing import plan_of
from harness.campaigns.limits import refuse_clamped
from harness.errors import TargetNotReady
from harness.plan.probing import planned_requests, probe_point, probe_scenario
from harness.records import search_file
from harness.records.manifest import Manifest, Point
from harness.records.search_file import AskedProbe, SearchState
from harness.scenario.schema import Scenario


@dataclass(frozen=True)
class Place:
    """Where a configuration's probes are measured, and under which key their state is kept."""

    bench: Bench
    scenario: Scenario  # with the files of its workload read
    key: str
    share: float  # the strictest percentile of the objectives

    def keep(self, state: SearchState) -> SearchState:
        """Write the state; returns it."""
        search_file.write(self.bench.work.folder, self.key, state)
        return state


def ask(place: Place, manifest: Manifest, state: SearchState, step: Probe) -> tuple[Manifest, SearchState]:
    """Plan this probe and write down that it was asked for. Raises UsageError where a request is too long."""
    folder, number = place.bench.work.folder, len(manifest.points)
    own = _scenario(place, step, number)
    deployment = place.bench.target.deployment
    point = probe_point(own, deployment.deployment_id, number)
    plan = plan_of(own, [point], place.bench.target)
    refuse_clamped(plan, deployment)
    known = (folder.path / "plan.parquet").exists()
    folder.write_plan(pa.concat_tables([folder.plan(), plan]) if known else plan)
    manifest = dataclasses.replace(manifest, points=[*manifest.points, point])
    folder.write_manifest(manifest)
    asked = AskedProbe(dataclasses.asdict(step), point.point_id, number)
    return manifest, place.keep(dataclasses.replace(state, asked=asked))


def answer(place: Place, manifest: Manifest, state: SearchState) -> tuple[Manifest, SearchState]:
    """Measure the probe that was asked for, unless an earlier session did so to its end, and judge it.

    Raises what `bench.stop_unless_complete` raises, and TargetNotReady when the target was gone before the probe was
    over; the probe stays asked for then.
    """
    assert state.asked is not None
    work, asked = place.bench.work, state.asked
    step = Probe(**asked.probe)
    own = _scenario(place, step, asked.number)
    point = manifest.points[asked.number]
    if not bench.is_measured(manifest, point, 0):
        probing = dataclasses.replace(place.bench, work=dataclasses.replace(work, scenario=own))
        manifest, measured = probing.measure(manifest, point, 0)
        bench.stop_unless_complete(measured, work.interruption)
        if went_away(work.folder, point):
            lost = dataclasses.replace(measured, complete=False, ended="target_lost")
            work.folder.write_manifest(manifest.with_measurement(lost))
            raise TargetNotReady("the last requests of the probe could not connect", hint="is the server still up?")
    return manifest, place.keep(state.with_answer(_judged(place, manifest, own, point, step)))


def _scenario(place: Place, step: Probe, number: int) -> Scenario:
    """The probe's own scenario, with the rule by which it may stop early."""
    own = probe_scenario(place.scenario, step.load, step.requests, number)
    size = own.size
    if size is None or size.mode != "objectives" or size.stop_above_late is not None:
        return own
    most = hopeless(planned_requests(own), place.share, step.confidence)
    return own.model_copy(update={"size": size.model_copy(update={"stop_above_late": most})})


def _judged(place: Place, manifest: Manifest, own: Scenario, point: Point, step: Probe) -> dict[str, Any]:
    return dataclasses.asdict(judge_probe(place.bench.work.folder, manifest, own, point, step.confidence))
