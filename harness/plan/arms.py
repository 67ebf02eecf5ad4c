"""The arms of a pair: one point measured on two deployments, in turn, with the same arrivals, lengths and order.

Which arm comes first is drawn per pair, two by two: of pairs 0 and 1, 2 and 3, … one begins with either arm. A drift of
the machine then falls on both arms alike, and nothing that alternates can hide behind a fixed order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import UsageError
from harness.plan.seeds import derive, words
from harness.records.manifest import Point
from harness.scenario.schema import Scenario


def judged_point(scenario: Scenario, points: Sequence[Point]) -> Point:
    """The point that `gate.point` names, or the only one. Raises UsageError with the list of points."""
    named = scenario.gate.point
    known = ", ".join(point.point_id for point in points)
    if named is None:
        if len(points) == 1:
            return points[0]
        raise UsageError(
            f"a gate judges one point, and {scenario.name} has {len(points)}: {known}",
            hint=f"name it in the scenario: gate: {{point: {points[0].point_id}}}",
        )
    for point in points:
        if point.point_id == named:
            return point
    raise UsageError(f"gate.point: {scenario.name} has no point {named!r}", hint=f"its points: {known}")


def in_arms(point: Point, deployments: Mapping[str, str], repetitions: int) -> list[Point]:
    """The point once per arm. `deployments`: arm → deployment id."""
    return [
        dataclasses.replace(point, arm=arm, deployment_id=deployment_id, repetitions=repetitions)
        for arm, deployment_id in deployments.items()
    ]


def order_of_arms(arms: tuple[str, str], pair: int, run_seed: int) -> tuple[str, str]:
    """The arms of this pair (from 0) in the order in which they are measured."""
    block, place = divmod(pair, 2)
    drawn = int(words(derive(run_seed, "order", "arms", str(block)), 1)[0] >> 63)
    return arms if (drawn + place) % 2 == 0 else (arms[1], arms[0])


def planned_in_window(scenario: Scenario, point: Point, plan: pa.Table) -> int | None:
    """How many requests of a repetition fall in its window; None where that depends on the server.

    `plan` has schema PLAN.
    """
    if point.concurrency is not None:
        return scenario.phases.window_requests
    own = pc.and_(pc.equal(plan["point_id"], point.point_id), pc.equal(plan["repetition"], 0))
    if point.arm is not None:
        own = pc.and_(own, pc.equal(plan["arm"], point.arm))
    inside = pc.and_(own, pc.fill_null(pc.equal(plan["phase"], "window"), False))
    return int(pc.sum(inside).as_py() or 0)
