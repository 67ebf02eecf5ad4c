"""Run folder in, assessment out: metrics, validity, objectives, and the ending they lead to."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from harness.analysis.objectives import MISSED, NO_DATA, evaluate, percentiles_needed, request_bounds
from harness.analysis.validity import INVALID, judge
from harness.errors import Ending, worst
from harness.metrics.catalog import METRICS_VERSION
from harness.metrics.results import Assessment, ObjectiveResult
from harness.metrics.summary import summarise
from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict


def assess(folder: RunFolder) -> Assessment:
    """Everything that can be said about a run. Raises RunFolderError or ScenarioError when it cannot be read."""
    manifest = folder.manifest()
    scenario, requests = scenario_of(manifest), folder.requests()
    pa.default_memory_pool().release_unused()  # what reading took besides the table is needed for the arithmetic
    return assess_tables(manifest, scenario, requests)


def scenario_of(manifest: Manifest) -> Scenario:
    """The scenario as it stood when the run began; files it refers to are not looked for."""
    return read_strict(manifest.scenario_text, Scenario, Path(manifest.scenario_file))


def assess_tables(manifest: Manifest, scenario: Scenario, requests: pa.Table) -> Assessment:
    """The assessment of a run's tables. `requests` has schema REQUESTS."""
    objectives = scenario.objectives
    summaries = summarise(manifest, requests, request_bounds(objectives))
    results: dict[str, list[ObjectiveResult]] = {point.point_id: [] for point in manifest.points}
    for summary in summaries:
        results[summary.point_id] += evaluate(objectives, summary)
    return Assessment(
        metrics_version=METRICS_VERSION,
        points=summaries,
        validity=judge(manifest, requests, summaries, percentiles_needed(objectives)),
        objectives=results,
        notes=_notes(manifest),
    )


def ending(assessment: Assessment, *, allow_invalid: bool = False) -> Ending:
    """How a command ends that asked about every point. `allow_invalid`: what an INVALID point says is passed over."""
    endings = []
    for point_id, validity in assessment.validity.items():
        if validity.status == INVALID:
            endings.append(Ending.PASS if allow_invalid else Ending.INVALID)
        else:
            endings += [ENDINGS.get(result.status, Ending.PASS) for result in assessment.objectives[point_id]]
    return worst(endings)


ENDINGS = {MISSED: Ending.FAIL, NO_DATA: Ending.INCONCLUSIVE}


def _notes(manifest: Manifest) -> list[str]:
    if manifest.metrics_version == METRICS_VERSION:
        return []
    return [
        f"measured by a harness with metric definitions {manifest.metrics_version}, assessed with {METRICS_VERSION}:"
        " results may differ from those shown then"
    ]
