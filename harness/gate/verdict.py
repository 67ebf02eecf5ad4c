"""What a gate says. `verdict.json` of a gate is this, as JSON; terminal, HTML, JUnit and Markdown only draw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import Ending

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
INVALID, NOT_COMPARABLE = "INVALID", "NOT_COMPARABLE"
ENDINGS = {
    PASS: Ending.PASS,
    FAIL: Ending.FAIL,
    INCONCLUSIVE: Ending.INCONCLUSIVE,
    INVALID: Ending.INVALID,
    NOT_COMPARABLE: Ending.NOT_COMPARABLE,
}

GATING, INFORMATION = "gating", "information"  # roles of a metric


@dataclass(frozen=True)
class PairValue:
    """One pair of one metric: both values in the metric's unit, and d (above 0 is worse; None: it has none)."""

    index: int
    baseline: float | None
    candidate: float | None
    d: float | None
    first: str | None = None  # the arm that was measured first; None: not known


@dataclass(frozen=True)
class MetricVerdict:
    """One metric's part of the verdict.

    `effect`, `low`, `high`, `margin`, `minimum_detectable_effect` are relative losses (0.07: 7% worse) for kinds of
    ratios, ratio points for differences: above 0 is always worse. [low, high] is the two-sided 1 - 2·alpha interval of
    this look, so that PASS is high < margin and FAIL is low > margin.
    """

    metric: str
    statistic: str
    unit: str  # of the values, as in the catalog
    role: str  # GATING or INFORMATION
    kind: str  # of `rule.Kind`
    better: str | None
    status: str  # PASS, FAIL or INCONCLUSIVE
    reason: str  # one sentence for people
    margin: float | None
    effect: float | None
    low: float | None
    high: float | None
    confidence: float | None  # of [low, high], two-sided
    method: str | None  # "t", "signed_rank", "sign", "value", "prediction", "early_stopping", …
    n: int  # pairs or runs it rests on
    p_pass: float | None = None  # one-sided p against "worse than the margin"
    p_fail: float | None = None  # one-sided p against "inside the margin"; Holm decides over these
    p_fail_adjusted: float | None = None
    minimum_detectable_effect: float | None = None
    more_pairs_needed: int | None = None  # None: not known, or decided
    values: list[PairValue] = field(default_factory=list)
    point_id: str | None = None  # of an objective: a run has several points


@dataclass(frozen=True)
class FieldComparison:
    """One identity field of both sides."""

    name: str  # "gpu_product", "scenario.load", …
    baseline: Any
    candidate: Any
    status: Literal["same", "declared", "undeclared", "unknown"]
    blocking: bool  # an undeclared difference here makes the two NOT_COMPARABLE


@dataclass(frozen=True)
class Verdict:
    """The verdict of one gate over one point."""

    gate: str  # "pair", "run" or "objectives"
    status: str  # PASS, FAIL, INCONCLUSIVE, INVALID or NOT_COMPARABLE
    sentence: str  # the verdict in one sentence
    scenario: str
    point_id: str | None
    baseline: str  # what was compared, for people: engine, URL or baseline file
    candidate: str
    metrics: list[MetricVerdict] = field(default_factory=list)  # gating first
    identity: list[FieldComparison] = field(default_factory=list)
    pairs: int = 0
    look: int | None = None  # which of the declared looks decided, from 1
    looks: list[int] = field(default_factory=list)
    alpha: float | None = None
    warnings: list[str] = field(default_factory=list)
    next_step: str | None = None  # what to do now
    testbed: Mapping[str, Any] | None = None  # spread and smallest honest margins, as `gate aa` measured them

    @property
    def ending(self) -> Ending:
        """The ending, and so the exit code."""
        return ENDINGS[self.status]
