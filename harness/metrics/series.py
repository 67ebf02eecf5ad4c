"""Series over the time of one repetition, for timelines: rates, requests in flight, TTFT. Shown, never judged.

Bins are [edge, next edge) on the run's clock, from the first send to the end of the drain. All requests count, warm-up
and drain included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from harness.metrics.columns import Floats, Ints, by_repetition, known
from harness.metrics.flow import mean_between
from harness.metrics.order_statistics import rank
from harness.metrics.percentile import Numbers
from harness.metrics.repetition import Repetition
from harness.metrics.request import time_to_first_token
from harness.metrics.summary import repetitions
from harness.records.manifest import Manifest, Measurement, Point

BINS = 100
SHORTEST_BIN_NS = 100_000_000


@dataclass(frozen=True)
class Series:
    """One repetition over time. Arrays have one entry per bin; NaN where a bin has nothing to say."""

    point_id: str
    arm: str | None
    repetition: int
    edges_ns: Ints  # bins + 1
    window_start_ns: int
    window_end_ns: int
    request_rate_per_s: Floats  # requests intended (closed loop: sent)
    served_rate_per_s: Floats  # requests that ended well
    output_tokens_per_s: Floats
    in_flight: Floats  # mean over the bin
    time_to_first_token_p50_ns: (
        Floats  # of the requests intended (sent) in the bin; infinite where it fell on a failure
    )


def series(manifest: Manifest, point: Point, requests: pa.Table, bin_ns: int | None = None) -> Iterator[Series]:
    """The series of every repetition of a point whose window opened, in order. Default: 100 bins of at least 0.1 s."""
    tables = by_repetition(requests)
    for measurement, repetition in repetitions(manifest, point, tables):
        if repetition is not None:
            yield series_of(measurement, repetition, bin_ns)


def series_of(measurement: Measurement, r: Repetition, bin_ns: int | None = None) -> Series:
    """The series of one repetition."""
    edges = _edges(measurement.start_ns, r.window.until_ns, bin_ns)
    bin_s = np.diff(edges) / 1e9
    done = r.rows.done_ns[r.rows.ok & known(r.rows.done_ns)]
    return Series(
        point_id=measurement.point_id,
        arm=measurement.arm,
        repetition=measurement.repetition,
        edges_ns=edges,
        window_start_ns=r.window.start_ns,
        window_end_ns=r.window.end_ns,
        request_rate_per_s=_counts(r.origin_ns[known(r.origin_ns)], edges) / bin_s,
        served_rate_per_s=_counts(done, edges) / bin_s,
        output_tokens_per_s=r.output_tokens_between(edges) / bin_s,
        in_flight=_mean_in_flight(r, edges),
        time_to_first_token_p50_ns=_median_per_bin(r, edges),
    )


def _edges(start_ns: int, until_ns: int, bin_ns: int | None) -> Ints:
    length = max(until_ns - start_ns, 1)
    width = bin_ns or max(-(-length // BINS), SHORTEST_BIN_NS)
    return np.asarray(start_ns + width * np.arange(-(-length // width) + 1, dtype=np.int64))


def _counts(instants: Ints, edges: Ints) -> Ints:
    return np.asarray(np.diff(np.searchsorted(np.sort(instants), edges, side="left")))


def _mean_in_flight(r: Repetition, edges: Ints) -> Floats:
    sent = known(r.rows.sent_ns)
    return mean_between(r.rows.sent_ns[sent], r.ended_ns[sent], edges)


def _median_per_bin(r: Repetition, edges: Ints) -> Floats:
    column = time_to_first_token(r)
    values = np.where(column.observed, column.values, np.inf)
    counted = (column.observed | column.unobserved) & known(r.origin_ns)
    bins = np.searchsorted(edges, r.origin_ns[counted], side="right") - 1
    order = np.argsort(bins, kind="stable")
    bounds = np.searchsorted(bins[order], np.arange(edges.size))
    grouped = np.split(values[counted][order], bounds)[1:-1]
    return np.asarray([_median(group) for group in grouped])


def _median(values: Numbers) -> float:
    return float(np.sort(values)[rank(500, values.size) - 1]) if values.size else np.nan
