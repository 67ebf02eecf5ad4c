"""Distribution curves for figures: the empirical distribution of a metric in each repetition of a point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from harness.metrics.availability import unavailable
from harness.metrics.catalog import METRICS
from harness.metrics.columns import Floats, by_repetition
from harness.metrics.percentile import Sample
from harness.metrics.repetition import Repetition
from harness.metrics.summary import repetitions
from harness.records.manifest import Manifest, Measurement, Point

STEPS = 400


@dataclass(frozen=True)
class Curve:
    """Share of requests (gaps) at or below each value; failures never come below any, so the curve may end below 1."""

    point_id: str
    arm: str | None
    repetition: int
    metric: str
    unit: str
    n: int
    values: Floats  # ascending, at most STEPS of them
    shares: Floats


def curves(manifest: Manifest, point: Point, requests: pa.Table, metric: str) -> Iterator[Curve]:
    """The curve of a request- or chunk-level metric in every repetition where it is available."""
    tables = by_repetition(requests)
    for measurement, r in repetitions(manifest, point, tables):
        curve = None if r is None else curve_of(measurement, r, metric)
        if curve is not None:
            yield curve


def curve_of(measurement: Measurement, r: Repetition, metric: str) -> Curve | None:
    """The curve of one repetition; None where the metric is not available or nothing was observed."""
    if unavailable(METRICS[metric], r) is not None:
        return None
    sample = sample_of(metric, r)
    if not sample.observed.size:
        return None
    values, shares = _thinned(sample)
    unit = METRICS[metric].unit
    return Curve(measurement.point_id, measurement.arm, measurement.repetition, metric, unit, sample.n, values, shares)


def sample_of(metric: str, r: Repetition) -> Sample:
    """The values of a request- or chunk-level metric over the cohort."""
    result: Any = METRICS[metric].formula(r)
    return result if isinstance(result, Sample) else result.sample(r.cohort)


def _thinned(sample: Sample) -> tuple[Floats, Floats]:
    """The ordered values with their shares, evenly thinned out by rank; the first and the last stay."""
    ordered = sample.observed
    ordered.sort()  # in place, as `Sample` may: 10^8 gaps are not held twice
    ranks = np.unique(np.linspace(1, ordered.size, min(STEPS, ordered.size)).round().astype(np.int64))
    failed_below = sample.limits.size if sample.failures_rank == "lowest" else 0
    return ordered[ranks - 1].astype(np.float64), (ranks + failed_below) / sample.n
