"""One probe of a search: does its load meet the objectives? The early-stopping test over its own requests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.objective_counts import SHARES, counted, judge_counts
from harness.analysis.search import Answer
from harness.analysis.validity import INVALID
from harness.assess.assess import assess_tables, beside_of
from harness.metrics.bounds import bound_from
from harness.metrics.columns import by_repetition
from harness.metrics.results import POINT_VALUE, PointSummary, Validity
from harness.metrics.summary import repetitions
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario

OVERLOAD = {"stopped_saturated": "stopped: too many in flight", "unstable": "requests in flight kept growing"}
OWN_FAULT = {"no_success": "no request ended well"}  # INVALID as a measurement of speed, but an answer to the question


@dataclass(frozen=True)
class ProbeResult:
    """What a probe said. Rates are per second; None where there is no value."""

    answer: Answer
    detail: str
    validity: str
    goodput: float | None
    output_token_throughput: float | None
    per_user: float | None  # output tokens per second and user, p50


def judge_probe(
    folder: RunFolder, manifest: Manifest, scenario: Scenario, point: Point, confidence: float
) -> ProbeResult:
    """Judge the probe that was measured at `point`. `scenario`: the probe's own."""
    alone = dataclasses.replace(
        manifest, points=[point], measurements=[m for m in manifest.measurements if m.point_id == point.point_id]
    )
    table = folder.requests()
    rows = table.filter(pc.equal(table["point_id"], point.point_id))
    assessment = assess_tables(alone, scenario, rows, beside_of(folder, scenario))
    (summary,) = assessment.points
    validity = assessment.validity[summary.key]
    answer, detail = _answer(alone, scenario, point, rows, validity, confidence)
    return ProbeResult(
        answer,
        detail,
        validity.status,
        _value(summary, "goodput", POINT_VALUE),
        _value(summary, "output_token_throughput", POINT_VALUE),
        _value(summary, "output_token_throughput_per_user", "p50"),
    )


def _answer(
    manifest: Manifest, scenario: Scenario, point: Point, rows: pa.Table, validity: Validity, confidence: float
) -> tuple[Answer, str]:
    codes = {reason.code for reason in validity.reasons}
    for code, words in (OVERLOAD | OWN_FAULT).items():
        if code in codes:
            return "lost", words
    if validity.status == INVALID:
        return "invalid", "; ".join(r.message for r in validity.reasons if r.severity == INVALID)
    if scenario.size is not None and scenario.size.mode != "objectives":
        return "held", "no objective in this mode"
    whole = [r for _, r in repetitions(manifest, point, by_repetition(rows)) if r is not None]
    answers: list[str] = []
    details = []
    for objective in scenario.objectives:
        if objective.statistic not in SHARES:
            continue
        share, bound = SHARES[objective.statistic], bound_from(objective.metric, *objective.bound)
        counts = [counted(r, bound, share) for r in whole]
        answers.append(judge_counts(counts, share, confidence))
        over, n = sum(c.over for c in counts), sum(c.n for c in counts)
        worth = sum(c.n / c.factor for c in counts)
        details.append(f"{over} of {n} (worth {worth:.0f}) over {objective.metric} {objective.statistic}")
    said = "; ".join(details)
    if "lost" in answers:
        return "lost", said
    return ("held" if answers and set(answers) == {"held"} else "undecided"), said


def _value(summary: PointSummary, metric: str, statistic: str) -> float | None:
    value = summary.metrics[metric].get(statistic)
    return None if value is None or value.above or value.below else value.value
