"""What a page needs of the records themselves: curves, series over time, groups, late sends, in one pass over them.

The numbers come from `harness.metrics`; each repetition is opened once and let go, so that a long run fits in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from harness.analysis.objectives import request_bounds
from harness.analysis.thresholds import LATE_ARRIVAL_MS
from harness.metrics import groups
from harness.metrics.bounds import Bound
from harness.metrics.columns import by_repetition
from harness.metrics.curves import Curve, curve_of
from harness.metrics.groups import Group
from harness.metrics.repetition import Repetition
from harness.metrics.schedule import sent_late
from harness.metrics.series import Series, series_of
from harness.metrics.summary import repetitions
from harness.records.manifest import Manifest, Measurement
from harness.scenario.load import MultiTenant
from harness.scenario.schema import Scenario
from harness.units import NS_PER_MS

REPETITIONS_DRAWN = 3


@dataclass
class Recorded:
    """What the records of one point gave. Lists have one entry per repetition whose window opened."""

    curves: dict[str, list[Curve]] = field(default_factory=dict)  # metric → curves, of the first repetitions
    series: list[Series] = field(default_factory=list)
    tenants: list[Group] = field(default_factory=list)
    turns: list[Group] = field(default_factory=list)
    sent_late: int = 0  # requests that left more than LATE_ARRIVAL_MS late


PointKey = tuple[str, str | None]


def recorded(
    manifest: Manifest, scenario: Scenario, requests: pa.Table, drawn: Sequence[str], bin_ns: int
) -> dict[PointKey, Recorded]:
    """By (point id, arm). `drawn`: the metrics whose distributions are shown; `bin_ns`: width of a bin of a series."""
    tables, bounds = by_repetition(requests), request_bounds(scenario.objectives)
    own = tenant_bounds(scenario)
    found = {}
    for point in manifest.points:
        opened = ((m, r) for m, r in repetitions(manifest, point, tables, bounds) if r is not None)
        found[point.point_id, point.arm] = _of_point(opened, drawn, bin_ns, own)
    return found


def tenant_bounds(scenario: Scenario) -> dict[str, Sequence[Bound]]:
    """The bounds that each tenant sets on its own requests."""
    if not isinstance(scenario.load, MultiTenant):
        return {}
    return {tenant.name: request_bounds(tenant.objectives) for tenant in scenario.load.tenants}


def _of_point(
    opened: Iterable[tuple[Measurement, Repetition]],
    drawn: Sequence[str],
    bin_ns: int,
    own: Mapping[str, Sequence[Bound]],
) -> Recorded:
    result = Recorded()
    tenants, turns = [], []
    for number, (measurement, r) in enumerate(opened):
        result.series.append(series_of(measurement, r, bin_ns))
        result.sent_late += sent_late(r, LATE_ARRIVAL_MS * NS_PER_MS)
        tenants.append(groups.tenants(r, own))
        turns.append(groups.turns(r))
        for metric in drawn if number < REPETITIONS_DRAWN else ():
            curve = curve_of(measurement, r, metric)
            if curve is not None:
                result.curves.setdefault(metric, []).append(curve)
    result.tenants, result.turns = groups.over_repetitions(tenants), groups.over_repetitions(turns)
    return result
