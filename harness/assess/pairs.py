"""From a run folder with two arms to its pairs, and from those to the verdict.

A pair is there once both of its halves are complete. It cannot be used when one half is INVALID; but what a candidate
does to itself (answers nothing, or shorter than asked) is no fault of the measurement: the metrics judge it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from harness.analysis.evidence import Beside, evidence_for
from harness.analysis.objectives import request_bounds
from harness.analysis.validity import unusable_repetitions
from harness.assess.assess import beside_of, scenario_of
from harness.gate.pairs import BASELINE, CANDIDATE, MetricKey, Pair
from harness.metrics.columns import by_repetition
from harness.metrics.results import PointSummary, Reason, RepetitionSummary, Value
from harness.metrics.summary import summarise
from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario

OF_THE_CANDIDATE = ("no_success", "token_counts")  # reasons that are the candidate's own doing


def pairs_of(folder: RunFolder) -> list[Pair]:
    """The complete pairs of a run folder, in order. Raises RunFolderError when it cannot be read."""
    manifest = folder.manifest()
    scenario = scenario_of(manifest)
    return pairs_of_tables(manifest, scenario, folder.requests(), beside_of(folder, scenario))


def pairs_of_tables(manifest: Manifest, scenario: Scenario, requests: pa.Table, beside: Beside) -> list[Pair]:
    """The same from the tables of a run. `requests` has schema REQUESTS."""
    summaries = {summary.arm: summary for summary in summarise(manifest, requests, request_bounds(scenario.objectives))}
    tables = by_repetition(requests)
    arms = {}
    for point in manifest.points:
        evidence = evidence_for(manifest, tables, point, summaries[point.arm], (), beside)
        arms[str(point.arm)] = (summaries[point.arm], unusable_repetitions(evidence))
    return [
        Pair(
            index=baseline.repetition,
            first=_first(manifest, baseline.repetition),
            baseline=_values(baseline),
            candidate=_values(candidate),
            invalid=tuple(_words(arms, baseline.repetition)),
            baseline_ok=baseline.outcomes.get("ok", 0),
            candidate_ok=candidate.outcomes.get("ok", 0),
        )
        for baseline, candidate in _halves(arms[BASELINE][0], arms[CANDIDATE][0])
    ]


def _halves(baseline: PointSummary, candidate: PointSummary) -> Iterator[tuple[RepetitionSummary, RepetitionSummary]]:
    """The complete repetitions of one number, of both arms."""
    others = {each.repetition: each for each in candidate.repetitions if each.complete}
    for each in baseline.repetitions:
        if each.complete and each.repetition in others:
            yield each, others[each.repetition]


def _first(manifest: Manifest, repetition: int) -> str:
    """The arm that was measured first."""
    own = [m for m in manifest.measurements if m.repetition == repetition]
    return str(min(own, key=lambda m: m.start_ns).arm)


def _values(summary: RepetitionSummary) -> dict[MetricKey, Value]:
    return {
        (metric, statistic): value
        for metric, statistics in summary.metrics.items()
        for statistic, value in statistics.items()
    }


def _words(arms: Mapping[str, tuple[PointSummary, dict[int, list[Reason]]]], repetition: int) -> Iterator[str]:
    """Why the pair cannot be used, a sentence per arm and reason."""
    for arm, (_, unusable) in arms.items():
        for reason in unusable.get(repetition, []):
            if arm == BASELINE or reason.code not in OF_THE_CANDIDATE:
                yield f"{arm} is INVALID: {reason.message}"
