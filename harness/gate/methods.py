"""What is attached to each metric: how its pairs are compared, and which interval suits their noise.

The gate never decides by a metric's name: it reads `kind` and `method` of a `GatedMetric`, which this table fills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.gate.rule import GatedMetric, Kind, Method
from harness.metrics import catalog

MARGINS: Mapping[Kind, float] = {"log_ratio": 0.05, "difference": 0.01, "equivalence": 0.10}
"""The margin where the scenario names none: relative, ratio points, relative to both sides."""


@dataclass(frozen=True)
class Suited:
    """An interval and why it suits."""

    method: Method
    because: str


PERCENTILE = Suited("signed_rank", "an order statistic: a single stall moves it far, ranks count that stall once")
MEAN = Suited("t", "a mean or a count over the window: close to normal by the central limit theorem")
SHARE = Suited("t", "a share: most pairs tie at 0, where ranks say nothing; no spread at all is decided by its value")


def suited(metric: str, statistic: str) -> Suited:
    """The interval for one statistic of one metric."""
    if kind_of(metric) == "difference":
        return SHARE
    return PERCENTILE if statistic[:1] == "p" and statistic[1:].isdigit() else MEAN


def kind_of(metric: str) -> Kind:
    """Shares are compared by difference, lengths by equivalence, all other metrics by their ratio."""
    declared = catalog.METRICS[metric]
    if declared.unit == "ratio":
        return "difference"
    return "equivalence" if declared.better is None else "log_ratio"


def gated(metric: str, statistic: str, margin: float | None = None) -> GatedMetric:
    """A metric of the catalog as the gate judges it; `margin` None: the default of its kind.

    KeyError: the catalog has no such metric.
    """
    kind = kind_of(metric)
    return GatedMetric(
        metric=metric,
        statistic=statistic,
        kind=kind,
        margin=MARGINS[kind] if margin is None else margin,
        better=None if kind == "equivalence" else catalog.METRICS[metric].better,
        method=suited(metric, statistic).method,
    )
