"""The rule of a gate: which metrics decide, against which margins, at which looks. Fixed before any measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.gate.pairs import MetricKey

Kind = Literal["log_ratio", "difference", "equivalence"]
Method = Literal["t", "signed_rank"]


@dataclass(frozen=True)
class GatedMetric:
    """One metric that decides.

    `log_ratio`: d = s·ln(candidate/baseline), `margin` is the largest tolerable relative loss (0.05: 5% worse).
    `difference`: d = s·(candidate - baseline) of a share in [0, 1], `margin` in ratio points (0.01).
    `equivalence`: candidate/baseline inside 1 ± `margin` (0.10: 90% to 110%), tested from both sides.
    s is +1 where higher is worse, -1 where higher is better: d above 0 is always worse.
    `method` is the interval that suits the metric; `methods.METHODS` gives it with its reason. "signed_rank" is used
    from the number of pairs on at which ranks can decide, Student's t below.
    """

    metric: str
    statistic: str
    kind: Kind
    margin: float
    better: Literal["lower", "higher"] | None  # None only for `equivalence`
    method: Method = "t"

    @property
    def key(self) -> MetricKey:
        """Where a pair holds its values."""
        return (self.metric, self.statistic)


@dataclass(frozen=True)
class Rule:
    """The whole rule. `alpha` is one-sided and holds for all looks together; Holm shares it over the metrics."""

    metrics: tuple[GatedMetric, ...]
    alpha: float = 0.05
    looks: tuple[int, ...] = (6, 10, 16)
    minimum_pairs: int = 4
