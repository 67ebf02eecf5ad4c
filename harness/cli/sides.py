"""One side of a comparison: a run folder, or a baseline file whose current epoch speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.assess import baseline_files
from harness.assess.measured import measured_point, measured_points
from harness.errors import UsageError
from harness.gate.comparable import Identity
from harness.gate.measured import Measured
from harness.gate.pairs import MetricKey
from harness.gate.run_gate import accepted_runs
from harness.metrics.results import Value
from harness.records.store import RunFolder


@dataclass(frozen=True)
class Side:
    """What is laid beside another: its name, identity, and values in the units of the catalog."""

    name: str
    identity: Identity
    values: Mapping[MetricKey, Value]


def side(path: Path, point: str | None = None) -> Side:
    """The run folder or baseline file at this path. Raises UsageError when it is neither."""
    if path.is_dir():
        measured = measured_point(RunFolder.open(path), point)
        return Side(f"{measured.run_id}, {measured.point.point_id}", measured.identity, measured.values)
    if not path.exists():
        raise UsageError(f"{path}: no such run folder or baseline file")
    epoch = baseline_files.load(path).current
    runs = accepted_runs(epoch).runs
    keys = dict.fromkeys(key for run in runs for key in run)
    name = f"{path}, epoch {epoch.epoch}, median of {len(runs)} accepted run{'' if len(runs) == 1 else 's'}"
    return Side(name, Identity(epoch.identity), {key: _median([run.get(key) for run in runs]) for key in keys})


def common_points(a: Path, b: Path, point: str | None = None) -> list[tuple[Side, Side]]:
    """Both runs' sides of every point that they share, or of `point`; of their only points where each has but one.

    Raises UsageError when there is nothing to lay side by side.
    """
    sides_a, sides_b = _sides_of_run(a), _sides_of_run(b)
    common = [name for name in sides_a if name in sides_b and point in (None, name)]
    if not common and point is None and len(sides_a) == len(sides_b) == 1:
        return list(zip(sides_a.values(), sides_b.values(), strict=True))
    if not common:
        what = f"no point {point!r} in both runs" if point else "the runs have no point in common"
        raise UsageError(what, hint=f"points of A: {', '.join(sides_a)}; of B: {', '.join(sides_b)}")
    return [(sides_a[name], sides_b[name]) for name in common]


def _sides_of_run(path: Path) -> dict[str, Side]:
    measured = measured_points(RunFolder.open(path))
    return {_label(each): Side(_label(each), each.identity, each.values) for each in measured}


def _label(measured: Measured) -> str:
    point = measured.point
    return point.point_id if point.arm is None else f"{point.point_id} ({point.arm})"


def _median(values: list[Value | None]) -> Value:
    """The median of plain values; where some run has none, there is none."""
    plain = [v for v in values if v is not None and v.value is not None and not (v.above or v.below)]
    if len(plain) < len(values):
        return Value(None, "", 0, reason="not in every accepted run")
    return Value(median(value.value for value in plain if value.value is not None), plain[0].unit, len(plain))
