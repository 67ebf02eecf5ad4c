"""Objectives and validity in words: which bound was met where, what speaks against a point, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.results import ObjectiveResult, Reason
from harness.report.numbers import exactly, on_screen, plain
from harness.report.places import MOST_ROWS, Place, series_of
from harness.report.shown import Finding, Judgement, Objectives
from harness.scenario.objective import REQUEST_METRICS
from harness.scenario.schema import Scenario

SEARCHED = "What follows are the bare values of single probes; the answer rests on the test of each probe."
# bound of an objective → (words, base unit of the limit's screen unit)
_BOUNDS = {
    "at_most_ms": ("at most {} ms", None),
    "at_least_per_s": ("at least {} per second", None),
    "at_most_ratio": ("at most {}%", "ratio"),
    "at_least_ratio": ("at least {}%", "ratio"),
}


def _bound_text(metric: str, statistic: str | None, bound: str, limit: float) -> str:
    words, unit = _BOUNDS[bound]
    shown = limit if unit is None else on_screen(limit, unit)
    return f"{metric}{f' {statistic}' if statistic else ''} {words.format(exactly(shown))}"


def objective_title(result: ObjectiveResult) -> str:
    """An objective in words: `time_to_first_token p95 at most 500 ms`, with its tenant in front if it has one."""
    words = _bound_text(result.metric, result.statistic, result.bound, result.limit)
    return words if result.tenant is None else f"{result.tenant}: {words}"


def objectives(found: Sequence[Place], scenario: Scenario) -> Objectives:
    """The objectives of all points as a table, and the bounds that the scenario sets on single requests."""
    titles: list[str] = []
    for place in found:
        titles += [t for result in place.objectives if (t := objective_title(result)) not in titles]
    rows = tuple((_marked_label(place), _judgements(place, titles)) for place in found)
    stated = [o for o in scenario.objectives if o.metric in REQUEST_METRICS]
    bounds = tuple(_bound_text(o.metric, None, *o.bound) for o in stated)
    searched = scenario.size is not None
    summary = SEARCHED if searched else _summary(found, titles, bounds)
    return Objectives(tuple(titles), bounds, rows if titles else (), summary)


def _marked_label(place: Place) -> str:
    """A point that is not VALID says so: what it meets proves nothing."""
    return place.label if place.status == "VALID" else f"{place.label} ({place.status})"


def _judgements(place: Place, titles: Sequence[str]) -> tuple[Judgement, ...]:
    results = {objective_title(result): result for result in place.objectives}
    return tuple(
        Judgement(results[t].status, plain(results[t].observed))
        if t in results
        else Judgement("no data", "not measured")
        for t in titles
    )


def _summary(found: Sequence[Place], titles: Sequence[str], bounds: Sequence[str]) -> str:
    if not titles:
        if bounds:
            return "The scenario's objectives bound single requests only: see attainment in the table of points."
        return "The scenario states no objective."
    if len(series_of(found)) > MOST_ROWS:
        meeting = [place for place in found if place.believable and _meets_all(place)]
        return f"All met at {len(meeting)} of {len(found)} points."
    return " ".join(_series_summary(name, series) for name, series in series_of(found).items())


def _series_summary(name: str, series: Sequence[Place]) -> str:
    if all(place.summary is None for place in series):
        return f"{name}: nothing was measured."
    meeting = [place for place in series if place.believable and _meets_all(place)]
    if not meeting:
        undecided = [p for p in series if p.believable and all(r.status != "missed" for r in p.objectives)]
        why = "" if not undecided else f" (no data to decide at {', '.join(p.load_text for p in undecided)})"
        return f"{name}: no believable point meets all of them{why}."
    return f"{name}: all met at {_kind(series[0])} {', '.join(place.load_text for place in meeting)}."


def _meets_all(place: Place) -> bool:
    return bool(place.objectives) and all(result.status == "met" for result in place.objectives)


def _kind(place: Place) -> str:
    if place.changing:
        return "the load"
    return "request rate" if place.open_loop else "concurrency"


def findings(found: Sequence[Place]) -> tuple[Finding, ...]:
    """The reasons against points, by kind, the worst first; points of which the same was seen stand together."""
    kinds: dict[tuple[str, str], list[tuple[Place, Reason]]] = {}
    for place in found:
        for reason in place.validity.reasons:
            kinds.setdefault((reason.severity, reason.code), []).append((place, reason))
    listed = [_finding(severity, code, seen) for (severity, code), seen in kinds.items()]
    return tuple(sorted(listed, key=lambda finding: (finding.severity != "INVALID", -finding.points)))


def _finding(severity: str, code: str, seen: Sequence[tuple[Place, Reason]]) -> Finding:
    by_message: dict[str, list[str]] = {}
    for place, reason in seen:
        labels = by_message.setdefault(reason.message, [])
        if place.label not in labels:
            labels.append(place.label)
    advice = dict.fromkeys(reason.advice for _, reason in seen)
    points = len({place.label for place, _ in seen})
    sightings = tuple(("; ".join(labels), message) for message, labels in by_message.items())
    return Finding(code.replace("_", " "), severity, points, sightings, "; or: ".join(advice))
