"""The answer of a search over configurations, as values. Made by `assess.sized`, shown by `report.size_answer`."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.pareto import Recommendation


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


@dataclass(frozen=True)
class Sized:
    """One configuration's search."""

    key: str
    label: str
    deployment_id: str | None
    engine_name: str | None
    load: float | None  # highest load that held and was confirmed
    high: float | None  # lowest load that was lost
    why: str
    status: str  # "found", "none_holds", "invalid", "undecided", "failed", "running"
    values: tuple[float, ...]  # at the load found, per divisor, one per probe that held there
    probes: tuple[ProbeRow, ...]


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
