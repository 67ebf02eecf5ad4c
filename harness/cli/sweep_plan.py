"""`harness plan` of a scenario with `vary`: the combinations, the starts, the points of each, and the time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.campaigns.pace import ASSUMED_START_S, Pace
from harness.cli import plan_tables
from harness.errors import UsageError
from harness.plan import deployments as deploying
from harness.plan import matrix
from harness.plan.deployments import Combination, Session
from harness.plan.draw import draw
from harness.plan.files import with_files_read
from harness.records.manifest import Point
from harness.scenario.schema import Scenario
from harness.units import show_duration

ORDER_SHOWN = 8


def show(scenario: Scenario, console: Console, csv_file: Path | None) -> None:
    """Print the plan of the sweep. Raises UsageError where no combination can be."""
    if csv_file is not None:
        raise UsageError(
            "--csv is for a scenario without `vary`", hint="its requests are the same for every combination"
        )
    drawn = with_files_read(scenario, None)
    found = deploying.combinations(drawn)
    possible = [one for one in found if one.cannot_be is None]
    points = matrix.points(drawn, possible[0].deployment_id)
    order = deploying.start_order([one.deployment_id for one in possible], drawn.seed)
    starts = deploying.sessions(order)
    _line(console, "scenario", drawn.name)
    _line(console, "varied", "; ".join(f"{name}: {', '.join(map(str, v))}" for name, v in (drawn.vary or {}).items()))
    console.print(_table(found, points))
    _line(console, "each is measured at:", "")
    console.print(plan_tables.points(drawn, points, draw(drawn, points)))
    _line(console, "order", _order(starts, possible))
    _line(console, "restarts", _restarts(starts, possible))
    whole = _all(points, possible, starts)
    seconds = Pace.beforehand_s(drawn, whole, len(starts))
    measurements = sum(point.repetitions for point in whole)
    _line(
        console,
        "duration",
        f"about {show_duration(seconds)}: {measurements} measurements, and {len(starts)} starts of which"
        f" {ASSUMED_START_S:g} s each are assumed; the sweep itself tells better once it has begun",
    )


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:13} {text}".rstrip(), soft_wrap=True)


def _table(found: list[Combination], points: list[Point]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("combination", "points", "repetitions", ""):
        table.add_column(heading, overflow="fold")
    for one in found:
        if one.cannot_be:
            table.add_row(one.label, "–", "–", f"cannot be: {one.cannot_be}")
        else:
            table.add_row(one.label, str(len(points)), str(points[0].repetitions), "")
    return table


def _order(starts: list[Session], possible: list[Combination]) -> str:
    labels = {one.deployment_id: one.label for one in possible}
    shown = [labels[start.deployment_id] + ("" if start.points else " (reference)") for start in starts[:ORDER_SHOWN]]
    rest = len(starts) - len(shown)
    return " → ".join(shown) + (f" … and {rest} more" if rest else "")


def _restarts(starts: list[Session], possible: list[Combination]) -> str:
    visits = sum(len(start.reference) for start in starts)
    return (
        f"{len(starts)} starts for {len(possible)} combinations; the first one is the reference, measured {visits}"
        " times from start to end to see the machine drift"
    )


def _all(points: list[Point], possible: list[Combination], starts: list[Session]) -> list[Point]:
    """The points of every combination, and the visits of the reference."""
    visits = sum(len(start.reference) for start in starts)
    return [*(dataclasses.replace(point) for _ in possible for point in points), deploying.reference_of(points, visits)]
