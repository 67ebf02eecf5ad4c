"""One probe of a search: does its load meet the objectives?

Percentiles are judged by the early-stopping test over the probe's own requests. Other objectives (a mean, the error
ratio, a throughput) are compared as they are: that they hold is seen once more in every confirmation, not tested.
Bounds on single requests (no statistic) define goodput and are no objective of a probe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from harness.analysis.objective_counts import SHARES, counted, enough, judge_counts
from harness.analysis.objectives import MET, MISSED
from harness.analysis.search import Answer
from harness.analysis.validity import INVALID
from harness.assess.assess import assess_tables, beside_of
from harness.metrics.bounds import bound_from
from harness.metrics.columns import by_repetition
from harness.metrics.repetition import Repetition
from harness.metrics.results import POINT_VALUE, ObjectiveResult, PointSummary, Validity
from harness.metrics.summary import repetitions
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.objective import Objective
from harness.scenario.schema import Scenario

STOPPED = {"stopped_saturated": "stopped"}  # and the measurement says by which rule
OVERLOAD = STOPPED | {"unstable": "requests in flight kept growing"}
LAST = 5  # requests
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
    requests: int = 0  # the cohort
    enough: int | None = None  # so many requests would have decided, if the rest were like these


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
    whole = [r for _, r in repetitions(alone, point, by_repetition(rows)) if r is not None]
    why = next((m.message for m in alone.measurements if m.message), None)
    found = _answer(scenario, whole, validity, assessment.objectives[summary.key], confidence)
    return ProbeResult(
        found.answer,
        f"{found.detail}: {why}" if found.detail == "stopped" and why else found.detail,
        validity.status,
        _value(summary, "goodput", POINT_VALUE),
        _value(summary, "output_token_throughput", POINT_VALUE),
        _value(summary, "output_token_throughput_per_user", "p50"),
        sum(int(r.cohort.sum()) for r in whole),
        found.enough,
    )


def went_away(folder: RunFolder, point: Point) -> bool:
    """Whether the last requests of this probe found no server: it says nothing about the load then."""
    table = folder.requests()
    rows = table.filter(pc.equal(table["point_id"], point.point_id)).filter(pc.field("sent_ns").is_valid())
    last = rows.sort_by("sent_ns")["outcome"].to_pylist()[-LAST:]
    return bool(last) and set(last) == {"connect_error"}


@dataclass(frozen=True)
class _Answered:
    answer: Answer
    detail: str
    enough: int | None = None


def _answer(
    scenario: Scenario,
    whole: Sequence[Repetition],
    validity: Validity,
    results: Sequence[ObjectiveResult],
    confidence: float,
) -> _Answered:
    codes = {reason.code for reason in validity.reasons}
    by_objectives = scenario.size is not None and scenario.size.mode == "objectives"
    for code, words in ((OVERLOAD if by_objectives else STOPPED) | OWN_FAULT).items():
        if code in codes:
            return _Answered("lost", words)
    if validity.status == INVALID:
        return _Answered("invalid", "; ".join(r.message for r in validity.reasons if r.severity == INVALID))
    if not by_objectives:
        return _Answered("held", "no objective in this mode")
    parts = [_tested(o, whole, confidence) for o in scenario.objectives if o.statistic in SHARES]
    parts += [_compared(result) for result in results if result.statistic not in SHARES]
    answers, said = {part.answer for part in parts}, "; ".join(part.detail for part in parts)
    if "lost" in answers:
        return _Answered("lost", said)
    needed = [part.enough for part in parts if part.answer == "undecided"]
    longest = None if None in needed else max((n for n in needed if n is not None), default=None)
    return _Answered("held" if answers == {"held"} else "undecided", said, longest)


def _tested(objective: Objective, whole: Sequence[Repetition], confidence: float) -> _Answered:
    """A percentile by the early-stopping test."""
    share, bound = SHARES[objective.statistic], bound_from(objective.metric, *objective.bound)
    counts = [counted(r, bound, share) for r in whole]
    over, n, worth = sum(c.over for c in counts), sum(c.n for c in counts), sum(c.n / c.factor for c in counts)
    detail = f"{over} of {n} (worth {worth:.0f}) over {objective.metric} {objective.statistic}"
    answer: Answer = judge_counts(counts, share, confidence)
    return _Answered(answer, detail, enough(counts, share, confidence) if answer == "undecided" else None)


def _compared(result: ObjectiveResult) -> _Answered:
    """Any other objective by its value."""
    answers: dict[str, Answer] = {MET: "held", MISSED: "lost"}
    return _Answered(answers.get(result.status, "undecided"), f"{result.metric} {result.status}")


def _value(summary: PointSummary, metric: str, statistic: str) -> float | None:
    value = summary.metrics[metric].get(statistic)
    return None if value is None or value.above or value.below else value.value
