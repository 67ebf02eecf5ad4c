"""Is a series in steady state, and does it grow? MSER-5, and a slope with its confidence bound. Pure arithmetic.

A series has one value per equal interval of time, NaN where an interval has nothing to say. Values carry whatever unit
they have; results are in the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.analysis.distributions import student_t_quantile
from harness.metrics.columns import Floats

BATCH = 5  # MSER-5 (White 1997; White, Cobb & Spratt 2000)
FEWEST_KEPT = 5  # batches; with fewer the criterion falls to 0 by chance


@dataclass(frozen=True)
class Truncation:
    """Where MSER-5 would cut a series. Levels are means of batch means; `noise` is the deviation of one batch."""

    batches: int
    cut: int  # so many batches are better left out
    level_before: float  # of those left out; equal to `level_after` when none is
    level_after: float
    noise: float  # pooled standard deviation of batch means within both sides

    @property
    def found(self) -> bool:
        """Whether the cut is to be trusted: it lies in the first half."""
        return 2 * self.cut <= self.batches

    @property
    def shift(self) -> float:
        """|before - after| / |after|."""
        return abs(self.level_before - self.level_after) / max(abs(self.level_after), 1e-12)

    @property
    def significance(self) -> float:
        """The difference of the levels in standard errors of that difference; infinite without noise."""
        difference = abs(self.level_before - self.level_after)
        if self.cut == 0 or difference == 0.0:
            return 0.0
        error = self.noise * (1 / self.cut + 1 / (self.batches - self.cut)) ** 0.5
        return float("inf") if error == 0.0 else difference / error


def truncation(series: Floats) -> Truncation | None:
    """MSER-5's cut: the d that minimises sum over j > d of (Z_j - mean)^2 / (k - d)^2 over batch means Z_1 … Z_k.

    None when the series is too short for it: fewer than two halves of FEWEST_KEPT batches.
    """
    means = batch_means(series[np.isfinite(series)], BATCH)
    if means.size < 2 * FEWEST_KEPT:
        return None
    scores = [float(np.square(means[d:] - means[d:].mean()).sum()) / (means.size - d) ** 2 for d in _cuts(means)]
    cut = int(np.argmin(scores))
    before, after = means[:cut], means[cut:]
    level = float(after.mean())
    level_before = float(before.mean()) if cut else level
    residuals = np.concatenate([before - level_before, after - level])
    noise = (float(np.square(residuals).sum()) / (means.size - 2)) ** 0.5
    return Truncation(means.size, cut, level_before, level, noise)


def _cuts(means: Floats) -> range:
    return range(means.size - FEWEST_KEPT + 1)


def batch_means(series: Floats, batch: int) -> Floats:
    """The means of successive batches; a rest shorter than a batch is left out at the beginning."""
    whole = series[series.size % batch :]
    return np.asarray(whole.reshape(-1, batch).mean(axis=1))


@dataclass(frozen=True)
class Growth:
    """A straight line through a series: how much it rises from the first value to the last, and at least how much."""

    mean: float
    rise: float
    rise_at_least: float  # lower confidence bound


def growth(series: Floats, confidence: float = 0.99) -> Growth | None:
    """The least-squares rise of a series with a one-sided lower bound; None below 8 values.

    Successive values depend on each other: the standard error counts n(1 - r)/(1 + r) values, r being the residuals'
    lag-1 autocorrelation where it is positive.
    """
    values = series[np.isfinite(series)]
    n = int(values.size)
    if n < 8:
        return None
    at = np.linspace(-0.5, 0.5, n)
    rise = float((at * values).sum() / np.square(at).sum())
    residuals = values - values.mean() - rise * at
    counted = _independent(residuals)
    variance = float(np.square(residuals).sum()) / (n - 2) / float(np.square(at).sum()) * (n / counted)
    bound = student_t_quantile(confidence, int(counted) - 2)
    return Growth(float(values.mean()), rise, rise - bound * variance**0.5)


def _independent(residuals: Floats) -> float:
    """As how many independent values these count."""
    total = float(np.square(residuals).sum())
    if total == 0.0:
        return float(residuals.size)
    correlation = min(0.9, max(0.0, float((residuals[1:] * residuals[:-1]).sum()) / total))
    return max(4.0, residuals.size * (1 - correlation) / (1 + correlation))
