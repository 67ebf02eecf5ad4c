"""The verdict over a run folder with two arms: can it be believed, may the two be compared, what do the pairs say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from harness.analysis.validity import INVALID as POINT_INVALID
from harness.assess.assess import assess, scenario_of
from harness.assess.pairs import OF_THE_CANDIDATE, pairs_of
from harness.gate.comparable import (
    TREATMENT_OF_PAIR,
    blocking_differences,
    compare,
    in_words,
    other_differences,
)
from harness.gate.decision import decide
from harness.gate.declared import rule_of
from harness.gate.effects import usable
from harness.gate.identity import identity_of
from harness.gate.methods import gated
from harness.gate.pairs import BASELINE, CANDIDATE, MetricKey, Pair
from harness.gate.rule import Rule
from harness.gate.verdict import INVALID, NOT_COMPARABLE, FieldComparison, MetricVerdict, Verdict
from harness.metrics.results import POINT_VALUE, Assessment, Reason
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario

MOST_NAMED = 3  # of reasons or differences, in the sentence
INFORMATION: tuple[MetricKey, ...] = (
    ("time_to_first_token", "p50"),
    ("time_per_output_token", "p50"),
    ("request_latency", "p50"),
    ("request_latency", "p95"),
    ("request_throughput", POINT_VALUE),
)
"""Shown beside what gates."""


def verdict_of(folder: RunFolder, testbed: Mapping[str, Any] | None = None) -> Verdict:
    """The verdict of a gate of pairs. `testbed`: what `gate aa` found on this test bed.

    Raises RunFolderError or ScenarioError when the folder cannot be read.
    """
    manifest = folder.manifest()
    scenario = scenario_of(manifest)
    rule, arms = rule_of(scenario), {str(point.arm): point for point in manifest.points}
    gating = [metric.key for metric in rule.metrics]
    pairs, assessment = pairs_of(folder), assess(folder)
    decision = decide(pairs, rule, _look(rule, pairs), [gated(*key) for key in INFORMATION if key not in gating])
    identity = _identity(manifest, scenario, arms)
    verdict = Verdict(
        gate="pair",
        status=decision.status,
        sentence=decision.sentence,
        scenario=manifest.scenario_name,
        point_id=arms[BASELINE].point_id,
        baseline=_shown(manifest.arms[BASELINE]),
        candidate=_shown(manifest.arms[CANDIDATE]),
        metrics=[_in_order(metric, pairs) for metric in decision.metrics],
        identity=identity,
        pairs=decision.pairs,
        look=decision.look,
        looks=list(rule.looks),
        alpha=rule.alpha,
        warnings=[*decision.warnings, *_warnings(assessment, identity, rule, testbed)],
        next_step=decision.next_step,
        testbed=testbed,
    )
    return _unless_unfit(verdict, list(_invalid(manifest, assessment)))


def _in_order(metric: MetricVerdict, pairs: Sequence[Pair]) -> MetricVerdict:
    """The metric's values with the arm that was measured first in each pair."""
    firsts = {pair.index: pair.first for pair in pairs}
    values = [dataclasses.replace(value, first=firsts.get(value.index)) for value in metric.values]
    return dataclasses.replace(metric, values=values)


def _look(rule: Rule, pairs: Sequence[Pair]) -> int | None:
    """The last declared look that the usable pairs reach: pairs beyond it decide nothing before the next one."""
    reached = sum(size <= len(usable(pairs, rule.metrics).pairs) for size in rule.looks)
    return reached or None


def _identity(manifest: Manifest, scenario: Scenario, arms: Mapping[str, Point]) -> list[FieldComparison]:
    """Two deployments are what such a gate is about; all else must be the same."""
    baseline, candidate = (identity_of(manifest, scenario, arms[arm]) for arm in (BASELINE, CANDIDATE))
    return compare(baseline, candidate, TREATMENT_OF_PAIR)


def _invalid(manifest: Manifest, assessment: Assessment) -> Iterator[tuple[str, Reason]]:
    """(arm, reason) of what makes a point INVALID; what the candidate does to itself is judged by the metrics."""
    for point in manifest.points:
        for reason in assessment.validity[point.key].reasons:
            own = point.arm == CANDIDATE and reason.code in OF_THE_CANDIDATE
            if reason.severity == POINT_INVALID and not own:
                yield str(point.arm), reason


def _unless_unfit(verdict: Verdict, invalid: Sequence[tuple[str, Reason]]) -> Verdict:
    """INVALID and NOT_COMPARABLE come before whatever the pairs say."""
    if invalid:
        said = _few([f"the {arm} cannot be believed: {reason.message}" for arm, reason in invalid])
        return dataclasses.replace(verdict, status=INVALID, sentence=said, next_step=invalid[0][1].advice)
    differences = blocking_differences(verdict.identity)
    if differences:
        return dataclasses.replace(
            verdict,
            status=NOT_COMPARABLE,
            sentence=f"the two differ in more than what is on trial: {_few([in_words(each) for each in differences])}",
            next_step="let both differ only in engine, server or settings: same GPUs, same protocol, same load",
        )
    return verdict


def _few(said: Sequence[str]) -> str:
    rest = len(said) - MOST_NAMED
    return "; ".join(said[:MOST_NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def _warnings(
    assessment: Assessment, identity: Sequence[FieldComparison], rule: Rule, testbed: Mapping[str, Any] | None
) -> Iterator[str]:
    for key, validity in assessment.validity.items():
        for reason in validity.reasons:
            first, *others = reason.message.split("; repetition ")
            more = f", and in {len(others)} more repetitions" if others else ""
            yield f"{key.rpartition('/')[2]}: {first}{more} ({reason.advice})"
    for field in other_differences(identity):
        yield f"differs: {in_words(field)}"
    honest = (testbed or {}).get("smallest_honest_margins", {})
    for metric in rule.metrics:
        least = honest.get(f"{metric.metric}.{metric.statistic}")
        if least is not None and metric.margin < least:
            name = f"{metric.metric} {metric.statistic}"
            yield f"{name}: the margin {metric.margin:g} is below {least:g}, the smallest honest one by gate aa"


def _shown(name: str) -> str:
    """An engine's file by its name; engines and addresses as they are."""
    return PurePath(name).stem if name.endswith((".yaml", ".yml")) else name
