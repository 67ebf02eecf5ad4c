"""`metrics.json` and `verdict.json`: the assessment as JSON, byte for byte the same for the same run folder."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from harness.assess.assess import ending
from harness.metrics.results import Assessment
from harness.records.store import RunFolder


def write_files(folder: RunFolder, assessment: Assessment) -> None:
    """Write both files into the run folder."""
    folder.write_text("metrics.json", metrics_json(assessment))
    folder.write_text("verdict.json", verdict_json(assessment))


def metrics_json(assessment: Assessment) -> str:
    """Every value of every point and repetition, with unit, n, interval or reason."""
    content = {"metrics_version": assessment.metrics_version, "points": assessment.points, "notes": assessment.notes}
    return _json(content)


def verdict_json(assessment: Assessment) -> str:
    """The verdict, each point's validity, and each objective with what was observed."""
    verdict = ending(assessment)
    points = {
        point_id: {"validity": validity, "objectives": assessment.objectives[point_id]}
        for point_id, validity in assessment.validity.items()
    }
    content = {
        "metrics_version": assessment.metrics_version,
        "status": verdict.name,
        "exit_code": verdict.code,
        "meaning": verdict.meaning,
        "points": points,
        "notes": assessment.notes,
    }
    return _json(content)


def _json(content: Any) -> str:
    return json.dumps(content, default=_plain, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Dataclasses as objects; anything else is a bug."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
