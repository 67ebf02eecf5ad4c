"""The types of a gate's view: words ready to show, and what the two figures draw. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.report.shown import FigureView, TextTable

Axis = Literal["ratio", "points"]


@dataclass(frozen=True)
class GateRow:
    """One metric in the table of the verdict. Numbers carry their units; "–" stands where there is none."""

    name: str  # TTFT p95
    metric: str  # time_to_first_token
    statistic: str
    baseline: str
    candidate: str
    effect: str  # +7.1%: above 0 is worse
    interval: str  # [+5.0, +9.3]
    margin: str
    status: str
    reason: str
    detectable: str
    more_pairs: str
    n: str
    method: str
    gating: bool


@dataclass(frozen=True)
class IdentityRow:
    """One identity field of both sides, `mark`: what its status means for the verdict."""

    name: str
    baseline: str
    candidate: str
    status: str
    mark: str  # "blocks", "noted" or ""


@dataclass(frozen=True)
class ForestRow:
    """One metric of a forest plot. Ratio axis: 1 is no loss; points axis: 0. Infinite ends are drawn as arrows."""

    label: str
    text: str  # effect and interval, beside the row
    effect: float
    low: float
    high: float
    tolerated_low: float | None  # None: open to the good side
    tolerated_high: float | None  # None: no margin (for information)
    status: str
    gating: bool


@dataclass(frozen=True)
class ForestPanel:
    """Rows on one axis."""

    axis: Axis
    x_label: str
    rows: tuple[ForestRow, ...]


@dataclass(frozen=True)
class Forest:
    """One panel per kind of axis."""

    panels: tuple[ForestPanel, ...]


@dataclass(frozen=True)
class PairDots:
    """One pair of one metric, values in the unit of the screen; d as a percentage or in points, above 0 is worse."""

    number: int  # from 1
    baseline: float | None
    candidate: float | None
    candidate_first: bool | None  # None: not known
    loss: str


@dataclass(frozen=True)
class PairsPanel:
    """The pairs of one metric."""

    title: str
    y_label: str
    pairs: tuple[PairDots, ...]
    x_label: str = "pair"


@dataclass(frozen=True)
class Pairs:
    """Panels in rows."""

    rows: tuple[tuple[PairsPanel, ...], ...]


@dataclass(frozen=True)
class GateView:
    """Everything that is said about a gate, in the order in which it is said."""

    title: str
    status: str
    sentence: str  # begins with the status
    meaning: str  # what follows from this verdict
    baseline: str
    candidate: str
    how: str  # how it was decided: pairs, look, alpha
    next_step: str
    gating: tuple[GateRow, ...]
    information: tuple[GateRow, ...]
    reasons: tuple[tuple[str, str], ...]  # of the gating metrics that did not pass
    warnings: tuple[str, ...]
    figures: tuple[FigureView, ...]
    identity: tuple[IdentityRow, ...]  # what differs or is unknown first
    identity_summary: str
    testbed: TextTable | None
    machine_json: str
    counted: str = "pairs"  # of what more would decide
