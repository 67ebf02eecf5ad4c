"""One new run against several accepted ones, one metric: Student's prediction interval, twice.

With n accepted values of mean m and deviation s, a further run of the same distribution lies within
m ± t(n-1)·s·√(1 + 1/n). Everything here is an effect d as in `rule.GatedMetric`: above 0 is worse. Once against the
whole epoch, once against its first runs (drift: an epoch that crept moved its own mean, its beginning stayed).
Assumed: runs are independent and near normal (ratios: on the log scale).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.gate.rule import GatedMetric
from harness.metrics.results import Value

Array = npt.NDArray[np.float64]
SAME = 1e-9  # values closer than this (relative, or in ratio points) are one value: six digits are stored
POWER = 0.8  # of the minimum detectable effect
FISHER_ALPHA = 0.05
MOST_RUNS = 200  # more accepted runs than this are never asked for


@dataclass(frozen=True)
class Prediction:
    """What accepted runs predict. d, low, high on the scale of d; [low, high] is two-sided 1 - 2·alpha."""

    n: int
    d: float
    low: float
    high: float
    error: float  # standard error of the prediction, s·√(1 + 1/n); 0: all accepted values are one
    p_pass: float
    p_fail: float


def effects(metric: GatedMetric, accepted: Sequence[float], candidate: float) -> Array:
    """d of the candidate against each accepted value. All must be above 0 for kinds of ratios."""
    sign = -1.0 if metric.better == "higher" else 1.0
    values = np.asarray(accepted, dtype=np.float64)
    if metric.kind == "difference":
        return sign * (candidate - values)
    if candidate <= 0:  # nothing left of it: no ratio is worse
        return np.full(values.size, -math.inf if metric.kind == "equivalence" else math.inf)
    return sign * (math.log(candidate) - np.log(values))


def predict(metric: GatedMetric, d: Array, alpha: float) -> Prediction:
    """The prediction from at least two effects against accepted runs."""
    n, (floor, bound) = int(d.size), bounds(metric)
    if not np.all(np.isfinite(d)) or float(np.ptp(d)) <= SAME:
        return _by_value(float(d[0]), floor, bound, n)
    error, mean = float(d.std(ddof=1)) * math.sqrt(1 + 1 / n), float(d.mean())
    half = quantile(n, 1 - alpha) * error
    above, below = tail(n, (mean - bound) / error), tail(n, (floor - mean) / error)
    return Prediction(n, mean, mean - half, mean + half, error, max(1 - above, 1 - below), min(above, below))


def bounds(metric: GatedMetric) -> tuple[float, float]:
    """Between which values of d the metric is within its margin; -infinity where better is never too good."""
    if metric.kind == "equivalence":
        return math.log1p(-metric.margin), math.log1p(metric.margin)
    return -math.inf, scaled(metric, metric.margin)


def scaled(metric: GatedMetric, loss: float) -> float:
    """A relative loss (or ratio points) on the scale of d."""
    return loss if metric.kind == "difference" else math.log1p(loss)


def as_loss(metric: GatedMetric, d: float) -> float | None:
    """A d as relative loss, or ratio points; None where it is infinite."""
    if not math.isfinite(d):
        return None
    return d if metric.kind == "difference" else math.expm1(d)


def detectable(prediction: Prediction, alpha: float) -> float:
    """The smallest d beyond 0 that such a run would show with chance POWER, on the scale of d."""
    return (quantile(prediction.n, 1 - alpha) + quantile(prediction.n, POWER)) * prediction.error


def runs_needed(metric: GatedMetric, prediction: Prediction, alpha: float) -> int | None:
    """How many accepted runs more would decide, if mean and spread stay; None: no number of them would."""
    distance = min(abs(bound - prediction.d) for bound in bounds(metric))
    spread = prediction.error / math.sqrt(1 + 1 / prediction.n)
    for n in range(prediction.n + 1, MOST_RUNS + 1):
        if quantile(n, 1 - alpha) * spread * math.sqrt(1 + 1 / n) < distance:
            return n - prediction.n
    return None


def few_requests_explain_it(accepted: Sequence[float], requests: int, candidate: Value) -> bool:
    """Whether a share that never varied could differ so much by the chance of few requests alone, one time in twenty.

    Fisher's exact test of the counts behind the shares: as rare events as these are all in one of the runs by chance.
    """
    base = accepted[0]
    if candidate.value is None or candidate.n == 0 or requests == 0 or base not in (0.0, 1.0):
        return False
    rare = round(abs(candidate.value - base) * candidate.n)
    drawn = np.arange(rare)
    chance = float(np.prod((candidate.n - drawn) / (candidate.n + requests - drawn)))
    return chance > FISHER_ALPHA


def quantile(n: int, p: float) -> float:
    """Of Student's t with n - 1 degrees of freedom."""
    return float(special.stdtrit(n - 1, p))


def tail(n: int, t: float) -> float:
    """P(T ≥ t) of Student's t with n - 1 degrees of freedom."""
    return float(special.stdtr(n - 1, -t))


def _by_value(d: float, floor: float, bound: float, n: int) -> Prediction:
    """Accepted values without spread: the value decides. Exactly at the margin it decides nothing."""
    inside, outside = floor + SAME < d < bound - SAME, d < floor - SAME or d > bound + SAME
    return Prediction(n, d, d, d, 0.0, float(not inside), float(not outside))
