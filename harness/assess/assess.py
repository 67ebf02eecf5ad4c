"""Run folder in, assessment out: metrics, validity, objectives, and the ending they lead to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.evidence import Beside
from harness.analysis.objectives import MISSED, NO_DATA, evaluate, percentiles_needed, request_bounds
from harness.analysis.validity import INVALID, judge
from harness.errors import Ending, worst
from harness.metrics.catalog import METRICS_VERSION
from harness.metrics.results import Assessment, ObjectiveResult, PointSummary, Validity
from harness.metrics.summary import summarise
from harness.metrics.withheld import without_percentiles
from harness.records import calibration as calibrations
from harness.records.calibration import Calibration, NotCalibrated
from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from harness.scenario.prompts import FilePrompts
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict


def assess(folder: RunFolder) -> Assessment:
    """Everything that can be said about a run. Raises RunFolderError or ScenarioError when it cannot be read."""
    manifest = folder.manifest()
    scenario, requests = scenario_of(manifest), folder.requests()
    beside, profile = beside_of(folder, scenario), calibration_of(folder)
    pa.default_memory_pool().release_unused()  # what reading took besides the table is needed for the arithmetic
    assessment = assess_tables(manifest, scenario, requests, beside)
    if isinstance(profile, NotCalibrated):
        return dataclasses.replace(assessment, notes=[*assessment.notes, f"not calibrated: {profile.reason}"])
    return assessment


def beside_of(folder: RunFolder, scenario: Scenario) -> Beside:
    """What a run folder holds besides its records, as far as it is there."""
    profile = calibration_of(folder)
    return Beside(
        load=scenario.load,
        plan=folder.plan() if (folder.path / "plan.parquet").exists() else None,
        telemetry=folder.telemetry(),
        parts_from_file=frozenset(
            (workload.name, part.name)
            for workload in scenario.workload
            for part in workload.parts
            if isinstance(part.prompts, FilePrompts)
        ),
        calibration=profile if isinstance(profile, Calibration) else None,
    )


def calibration_of(folder: RunFolder) -> Calibration | NotCalibrated | None:
    """The instrument's profile that was in force; None in folders that do not say."""
    path = folder.path / calibrations.FILE
    return calibrations.from_json(path.read_text(encoding="utf-8")) if path.exists() else None


def scenario_of(manifest: Manifest) -> Scenario:
    """The scenario as it stood when the run began; files it refers to are not looked for."""
    return read_strict(manifest.scenario_text, Scenario, Path(manifest.scenario_file))


def assess_tables(
    manifest: Manifest, scenario: Scenario, requests: pa.Table, beside: Beside | None = None
) -> Assessment:
    """The assessment of a run's tables. `requests` has schema REQUESTS."""
    objectives, beside = scenario.objectives, beside or Beside(load=scenario.load)
    measured = summarise(manifest, requests, request_bounds(objectives))
    validity = judge(manifest, requests, measured, percentiles_needed(objectives), beside)
    summaries = [_without_meaningless(summary, validity[summary.key]) for summary in measured]
    results: dict[str, list[ObjectiveResult]] = {point.key: [] for point in manifest.points}
    for summary in summaries:
        saturated = _has(validity[summary.key], "stopped_saturated")
        results[summary.key] += evaluate(objectives, summary, saturated=saturated)
    for key, result in _of_tenants(manifest, scenario, requests, validity):
        results[key].append(result)
    return Assessment(
        metrics_version=METRICS_VERSION,
        points=summaries,
        validity=validity,
        objectives=results,
        notes=_notes(manifest),
    )


def _of_tenants(
    manifest: Manifest, scenario: Scenario, requests: pa.Table, validity: Mapping[str, Validity]
) -> Iterator[tuple[str, ObjectiveResult]]:
    """(key of the point, result) of every tenant's own objectives, each judged on that tenant's requests alone."""
    for tenant in scenario.tenants:
        if not tenant.objectives:
            continue
        own = requests.filter(pc.equal(requests["tenant"], tenant.name))
        for measured in summarise(manifest, own, request_bounds(tenant.objectives)):
            judged = validity[measured.key]
            summary, saturated = _without_meaningless(measured, judged), _has(judged, "stopped_saturated")
            for result in evaluate(tenant.objectives, summary, saturated=saturated, tenant=tenant.name):
                yield measured.key, result


def ending(assessment: Assessment, *, allow_invalid: bool = False) -> Ending:
    """How a command ends that asked about every point. `allow_invalid`: what an INVALID point says is passed over."""
    endings = []
    for key, validity in assessment.validity.items():
        if validity.status == INVALID:
            endings.append(Ending.PASS if allow_invalid else Ending.INVALID)
        else:
            endings += [ENDINGS.get(result.status, Ending.PASS) for result in assessment.objectives[key]]
    return worst(endings)


ENDINGS = {MISSED: Ending.FAIL, NO_DATA: Ending.INCONCLUSIVE}


WITHHELD = {
    "stopped_saturated": "not available: stopped, saturated",
    "unstable": "not available: unstable, requests in flight kept growing",
}


def _without_meaningless(summary: PointSummary, validity: Validity) -> PointSummary:
    """The summary without percentiles where they only tell for how long an overload was watched."""
    why = [text for code, text in WITHHELD.items() if _has(validity, code)]
    return without_percentiles(summary, why[0]) if why else summary


def _has(validity: Validity, code: str) -> bool:
    return any(reason.code == code for reason in validity.reasons)


def _notes(manifest: Manifest) -> list[str]:
    if manifest.metrics_version == METRICS_VERSION:
        return []
    return [
        f"measured by a harness with metric definitions {manifest.metrics_version}, assessed with {METRICS_VERSION}:"
        " results may differ from those shown then"
    ]
