"""What `harness plan` says of a gate: which point, how many pairs, for how long, and what it could not decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pyarrow as pa

from harness.errors import UsageError
from harness.gate.declared import rule_of
from harness.gate.lacking import too_few
from harness.plan.arms import judged_point, planned_in_window
from harness.plan.estimate import estimate_point
from harness.records.manifest import Point
from harness.scenario.schema import Scenario
from harness.units import show_duration


def gate_lines(scenario: Scenario, points: Sequence[Point], table: pa.Table) -> Iterator[tuple[str, str]]:
    """Lines (label, text); nothing for a scenario that says nothing about gates."""
    if "gate" not in scenario.model_fields_set:
        return
    try:
        point = judged_point(scenario, points)
    except UsageError as error:
        yield "gate", str(error).replace("\n", ";")
        return
    rule = rule_of(scenario)
    pair_s = 2 * estimate_point(scenario, dataclasses.replace(point, repetitions=1)).total_s
    first, last = rule.looks[0], rule.looks[-1]
    pairs = ", ".join(map(str, rule.looks))
    times = " to ".join(show_duration(pair_s * n) for n in dict.fromkeys((first, last)))
    yield "gate", f"`harness gate pair` would judge {point.point_id} after {pairs} pairs: about {times}"
    requests = planned_in_window(scenario, point, table)
    for lack in [] if requests is None else too_few(rule, requests):
        yield "note", f"{lack}: the gate would be INCONCLUSIVE"
