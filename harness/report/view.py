"""The view of a run: everything a report says, as strings and plottable numbers in the units of the screen.

`build` is pure: manifest, scenario, assessment, tables and what lies beside them in, a `View` out. No metric is
computed here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from harness.analysis.answer import Answer
from harness.analysis.sized import SizeAnswer
from harness.metrics.results import Assessment
from harness.records.calibration import Calibration, NotCalibrated
from harness.records.foreign import ForeignResult
from harness.records.manifest import Manifest, key_of
from harness.report import answer as answers
from harness.report import (
    cross_check,
    foreign,
    groups,
    headline,
    identity,
    instrument,
    judgements,
    key_table,
    schedule,
    size_answer,
)
from harness.report.curves import heat_maps, percentiles, throughput_latency
from harness.report.distributions import distributions, drawn_metrics
from harness.report.outcomes import outcomes
from harness.report.places import focused, places
from harness.report.recorded import recorded
from harness.report.shown import Section, View
from harness.report.timeline import span, timeline
from harness.scenario.schema import Scenario


@dataclass(frozen=True)
class Beside:
    """What a run folder may hold besides its records."""

    calibration: Calibration | NotCalibrated | None = None
    foreign: Sequence[ForeignResult] = ()
    cross_check: str | None = None  # the text of cross_check.json
    answer: Answer | None = None  # of a sweep
    size: SizeAnswer | None = None  # of a search


def build(
    manifest: Manifest,
    scenario: Scenario,
    assessment: Assessment,
    requests: pa.Table,
    telemetry: pa.Table,
    beside: Beside | None = None,
) -> View:
    """The view of a run. `requests` has schema REQUESTS, `telemetry` schema TELEMETRY."""
    beside = beside or Beside()
    profile = beside.calibration if isinstance(beside.calibration, Calibration) else None
    found = places(manifest, scenario, assessment, profile)
    run_folder = f"runs/{manifest.run_id}"
    shown = answers.views(beside.answer, run_folder) + size_answer.views(beside.size, run_folder)
    focus = focused(found, beside.answer)
    records = recorded(manifest, scenario, requests, drawn_metrics(found), span(manifest.measurements)[1])
    return View(
        title=headline.title(manifest),
        sentence=headline.sentence(manifest, scenario, found),
        description=scenario.description,
        measured_at=headline.measured_at(manifest),
        verdict=headline.verdict(found),
        results=headline.results(found, shown),
        objectives=judgements.objectives(found, scenario),
        notes=_notes(manifest, assessment),
        table=key_table.points_table(found),
        details=present(schedule.section(found, records), groups.tenants(found, records), groups.turns(found, records)),
        figures=(
            *(() if shown else (throughput_latency(found),)),  # the answer of a sweep shows the same
            percentiles(focus),
            distributions(focus, records),
            heat_maps(found),
            timeline(found, manifest, records, telemetry, scenario.telemetry.period_s),
            outcomes(found),
        ),
        findings=judgements.findings(found),
        beside=present(
            cross_check.section(beside.cross_check),
            instrument.section(beside.calibration),
            foreign.section(beside.foreign),
        ),
        telemetry=identity.telemetry(manifest, _samples(telemetry)),
        identity=identity.identity(manifest, scenario, found),
        all_values=tuple((place.label, key_table.all_values(place)) for place in found if place.summary is not None),
        definitions=identity.definitions(),
        command=identity.command(manifest),
        documents=identity.documents(manifest),
        machine_json=_machine_json(manifest, assessment),
        answer=shown,
    )


def present(*sections: Section | None) -> tuple[Section, ...]:
    """The sections that there are."""
    return tuple(section for section in sections if section is not None)


def _notes(manifest: Manifest, assessment: Assessment) -> tuple[str, ...]:
    """What a reader must know first: the run's own notes, and that it was stopped or lost its server."""
    notes = [*manifest.notes, *assessment.notes]
    stopped = [m for m in manifest.measurements if m.ended in ("interrupted", "target_lost", "driver_failed")]
    for m in stopped:
        words = {"interrupted": "the run was interrupted", "target_lost": "the server went away"}
        why = words.get(m.ended, "the load generator failed")
        notes.append(
            f"{why} at point {key_of(m.point_id, m.arm)}, repetition {m.repetition}; what was measured is kept"
        )
    return tuple(dict.fromkeys(notes))


def _samples(telemetry: pa.Table) -> dict[str, int]:
    counts = telemetry["source"].value_counts().to_pylist()
    return {count["values"]: count["counts"] for count in counts}


def _machine_json(manifest: Manifest, assessment: Assessment) -> str:
    content = {
        "run_id": manifest.run_id,
        "scenario": manifest.scenario_name,
        "scenario_hash": manifest.scenario_hash,
        "harness_version": manifest.harness_version,
        "assessment": assessment,
    }
    return json.dumps(
        content, default=_plain, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def _plain(value: Any) -> Any:
    """Mappings and dataclasses as objects; fields that are null or false are left out, for the size of the page."""
    if isinstance(value, Mapping):
        return dict(value)
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: content for name, content in fields.items() if content is not None and content is not False}
