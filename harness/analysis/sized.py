"""The answer of a search over configurations, as values. Made by `assess.sized`, shown by `report.size_answer`.

The load that a configuration carries is known to an interval: from the highest that held to the lowest that was lost.
Its goodput at one load hardly varies, so the margin between two configurations is that of their intervals; repetitions
would call nearly every margin real.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.bound_by import Bound
from harness.analysis.pareto import Compared, Recommendation


@dataclass(frozen=True)
class ProbeRow:
    """One probe, for people and JSON."""

    load: float
    purpose: str
    answer: str
    detail: str
    validity: str
    point_id: str
    value: float | None  # of what is maximised, per divisor
    throughput: float | None = None  # output tokens per second, per divisor
    per_user: float | None = None  # output tokens per second and user, p50


@dataclass(frozen=True)
class Sized:
    """One configuration's search."""

    key: str
    label: str
    deployment_id: str | None
    engine_name: str | None
    load: float | None  # highest load that held and was confirmed
    low: float | None  # highest load that held, confirmed or not
    high: float | None  # lowest load that was lost, not merely undecided
    why: str
    status: str  # "found", "none_holds", "invalid", "undecided", "failed", "went_away", "running"
    values: tuple[float, ...]  # at the load found, per divisor, one per probe that held there
    probes: tuple[ProbeRow, ...]
    bounds: tuple[Bound, ...] = ()  # what held the engine back at `bound_at`, the lowest load lost or the highest tried
    bound_at: float | None = None
    gpus: int = 1  # what loads are divided by to compare configurations; 1 where rates are per server


@dataclass(frozen=True)
class SizeAnswer:
    """The answer of `harness size`. Rates are per second and per `divisor` ("gpu" or "server")."""

    divisor: str
    mode: str
    maximised: str  # "goodput", "output_token_throughput" or "per_user"
    unit: str  # of loads: "requests/s" or "requests in flight"
    objectives: tuple[str, ...]
    configurations: list[Sized]
    recommendation: Recommendation

    def configuration(self, key: str | None) -> Sized | None:
        """The configuration with this key."""
        return next((one for one in self.configurations if one.key == key), None)


def by_load_intervals(found: Recommendation, configurations: Sequence[Sized]) -> Recommendation:
    """The recommendation with margins from intervals of the load: real where they do not overlap."""
    named = {one.key: one for one in configurations}
    if found.configuration is None:
        return found
    best = named[found.configuration]
    others = [_with_interval(best, named[other.configuration], other) for other in found.others]
    return dataclasses.replace(found, others=others, reason=_in_words(others[0], named) if others else found.reason)


def _with_interval(best: Sized, other: Sized, compared: Compared) -> Compared:
    low = None if best.load is None or other.high is None else best.load / best.gpus / (other.high / other.gpus) - 1
    high = None if best.high is None or not other.load else best.high / best.gpus / (other.load / other.gpus) - 1
    return dataclasses.replace(compared, low=low, high=high, real=low is not None and low >= 0)


def _in_words(first: Compared, named: dict[str, Sized]) -> str:
    ahead, other = f"{first.margin:.1%} ahead of the runner-up", named[first.configuration]
    if first.real:
        return f"{ahead}, at least {first.low:.1%}"
    if other.high is None:
        return f"{ahead}, but of the runner-up no load was lost"
    return f"{ahead}, but the runner-up was only lost at {other.high:.4g}: what lies in between was not decided"
