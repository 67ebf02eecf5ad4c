"""What the metrics say: values with unit, n and interval, or the reason why there is none.

Times are nanoseconds (unit "ns"), rates per second ("per_s"), shares 0-1 ("ratio"), lengths "tokens". Scaling for
people happens in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records.manifest import key_of

POINT_VALUE = "value"  # the statistic of a point-level metric; `error_ratio` has one more per failed outcome


@dataclass(frozen=True)
class Value:
    """One number, or why there is none. `value` None always comes with a `reason`."""

    value: float | None
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    interval: str | None = None  # "order_statistic_95" (within one repetition) or "range" (over repetitions)
    above: bool = False  # the true value is above `value`: it fell among censored requests, shown as "> x"
    reason: str | None = None  # "not available: …", or what would make it available: "needs 72 requests"
    below: bool = False  # the mirror of `above`, for metrics where a failure counts as the lowest value: shown as "< x"


Statistics = Mapping[str, Value]  # statistic ("mean", "p50", … or POINT_VALUE) → value


@dataclass(frozen=True)
class RepetitionSummary:
    """The metrics of one repetition of one point."""

    point_id: str
    arm: str | None
    repetition: int
    complete: bool
    window_s: float
    cohort: int  # requests intended (closed loop: sent) in the window
    outcomes: Mapping[str, int]  # outcome → requests of the cohort
    offered_rate_per_s: float
    served_rate_per_s: float
    metrics: Mapping[str, Statistics]  # metric name → statistics
    token_sources: Mapping[str, str] = field(default_factory=dict)  # "input", "output" → who counted, e.g. "server"


@dataclass(frozen=True)
class PointSummary:
    """The metrics of a point: the median over its repetitions, with their range. Repetitions are never pooled."""

    point_id: str
    arm: str | None
    repetitions: list[RepetitionSummary]
    metrics: Mapping[str, Statistics]

    @property
    def key(self) -> str:
        """As `Point.key`."""
        return key_of(self.point_id, self.arm)


@dataclass(frozen=True)
class Reason:
    """One finding about a point: what was seen, how bad it is, and how to make it go away."""

    code: str  # e.g. "token_counts"
    severity: str  # "SUSPECT" or "INVALID"
    message: str
    advice: str


@dataclass(frozen=True)
class Validity:
    """Whether a point can be believed."""

    status: str  # "VALID", "SUSPECT" or "INVALID"
    reasons: list[Reason] = field(default_factory=list)


@dataclass(frozen=True)
class ObjectiveResult:
    """One objective at one point: met, missed, or not decided for lack of data."""

    metric: str
    statistic: str | None
    bound: str  # "at_most_ms", …
    limit: float
    status: str  # "met", "missed" or "no data"
    observed: Value
    tenant: str | None = None  # whose requests alone it is about; None: all of the point


@dataclass(frozen=True)
class Assessment:
    """Everything the right half derives from a run folder; `metrics.json` and `verdict.json` are this, as JSON."""

    metrics_version: int
    points: list[PointSummary]
    validity: Mapping[str, Validity]  # key of the point (its id; in pairs `<id>/<arm>`) → validity
    objectives: Mapping[str, list[ObjectiveResult]]  # likewise → results
    notes: list[str] = field(default_factory=list)
