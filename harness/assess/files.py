"""`metrics.json` and `verdict.json`: the assessment as JSON, byte for byte the same for the same run folder."""

from __future__ import annotations

from harness.assess.assess import ending
from harness.gate import verdict_json as verdicts
from harness.metrics.results import Assessment
from harness.records.store import RunFolder


def write_files(folder: RunFolder, assessment: Assessment) -> None:
    """Write both files into the run folder. The verdict of a gate that judged this run stays; its `run` part is new."""
    folder.write_text("metrics.json", metrics_json(assessment))
    path = folder.path / verdicts.FILE
    gate = verdicts.read(path.read_text(encoding="utf-8")) if path.exists() else None
    own = _verdict(assessment)
    folder.write_text(verdicts.FILE, verdicts.run_json(own) if gate is None else verdicts.gate_json(gate, own))


def metrics_json(assessment: Assessment) -> str:
    """Every value of every point and repetition, with unit, n, interval or reason."""
    content = {"metrics_version": assessment.metrics_version, "points": assessment.points, "notes": assessment.notes}
    return verdicts.text(content)


def verdict_json(assessment: Assessment) -> str:
    """The verdict of a run by itself: each point's validity, and each objective with what was observed."""
    return verdicts.run_json(_verdict(assessment))


def _verdict(assessment: Assessment) -> dict[str, object]:
    verdict = ending(assessment)
    points = {
        point_id: {"validity": validity, "objectives": assessment.objectives[point_id]}
        for point_id, validity in assessment.validity.items()
    }
    return {
        "metrics_version": assessment.metrics_version,
        "status": verdict.name,
        "exit_code": verdict.code,
        "meaning": verdict.meaning,
        "points": points,
        "notes": assessment.notes,
    }
