"""What `harness plan` says of a gate: which point, how many pairs, for how long, and what it could not decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import UsageError
from harness.gate.declared import rule_of
from harness.gate.rule import Rule
from harness.metrics.order_statistics import smallest_n
from harness.metrics.percentile import PERCENTILES
from harness.plan.arms import judged_point
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
    for needed, requests in _too_few(rule, point, table):
        yield "note", f"{requests} requests are planned in the window, {needed}: the gate would be INCONCLUSIVE"


def _too_few(rule: Rule, point: Point, table: pa.Table) -> Iterator[tuple[str, int]]:
    """(what needs how many, planned requests) of percentiles that an open loop's window cannot give."""
    if point.concurrency is not None:
        return
    own = pc.and_(pc.equal(table["point_id"], point.point_id), pc.equal(table["repetition"], 0))
    requests = int(pc.sum(pc.and_(own, pc.fill_null(pc.equal(table["phase"], "window"), False))).as_py() or 0)
    for metric in rule.metrics:
        permille = PERCENTILES.get(metric.statistic)
        if permille is not None and requests < smallest_n(permille):
            yield f"{metric.statistic} of {metric.metric} needs {smallest_n(permille)}", requests
