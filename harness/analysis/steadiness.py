"""Reasons about steady state: the window's beginning still settles, nothing settles, or an open loop's queue grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from harness.analysis import thresholds as limits
from harness.analysis.arrival_laws import changes_on_purpose
from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.analysis.steady import Growth, Truncation, growth, truncation
from harness.metrics.columns import Floats, Ints, known
from harness.metrics.flow import mean_between
from harness.metrics.results import Reason
from harness.metrics.window import STOPPED_SATURATED, Window

UNSTABLE = "unstable"


def not_steady(evidence: Evidence) -> Iterator[Reason]:
    """MSER-5 on time to first token, requests in flight and tokens/s over the window."""
    yield from evidence.reason(
        "not_steady", "SUSPECT", _unsteady, "lengthen phases.warm_up_s by what is named, or phases.window_s"
    )


def _unsteady(r: MeasuredRepetition) -> str | None:
    if r.window is None or r.measurement.ended == STOPPED_SATURATED or changes_on_purpose(r.beside.load):
        return None
    if _growth(r) is not None:
        return None
    found = [(name, truncation(values)) for name, values in _series(r, r.window).items()]
    words = [_words(name, cut, r.window) for name, cut in found if cut is not None and _matters(cut)]
    return "; ".join(words) or None


def _matters(cut: Truncation) -> bool:
    return cut.shift > limits.STEADY_SHIFT and cut.significance > limits.STEADY_SIGNIFICANCE


def _words(name: str, cut: Truncation, window: Window) -> str:
    if not cut.found:
        return f"no steady state found in {name}: extend the window"
    settled_s = window.length_s * cut.cut / cut.batches
    return f"{name} settles only after {settled_s:.1f} s of the window (its level before: {cut.shift:.0%} apart)"


def unstable(evidence: Evidence) -> Iterator[Reason]:
    """In an open loop the requests in flight keep growing: the target is beyond its capacity, percentiles only say for
    how long it was measured."""
    yield from evidence.reason(
        UNSTABLE,
        "SUSPECT",
        _unstable,
        "the rate is more than the target carries: measure a lower one (percentiles are withheld, they grow with time)",
    )


def _unstable(r: MeasuredRepetition) -> str | None:
    rising = _growth(r)
    if rising is None:
        return None
    return (
        f"unstable: requests in flight grew by {rising.rise:.1f} over the window, at least by"
        f" {rising.rise_at_least:.1f} (mean {rising.mean:.1f})"
    )


def _growth(r: MeasuredRepetition) -> Growth | None:
    """The growth of in-flight, when it is one: an open loop's, significant and large, and not because the rate rose."""
    if r.window is None or not r.open_loop or r.measurement.ended == STOPPED_SATURATED:
        return None
    edges = _edges(r, r.window)
    line, offered = growth(_in_flight(r, edges)), growth(_arrivals(r, edges))
    if line is None or (offered is not None and offered.rise_at_least > 0):
        return None
    enough = max(limits.GROWTH_SHARE * line.mean, limits.GROWTH_DEVIATIONS * max(line.mean, 1.0) ** 0.5)
    return line if line.rise_at_least > enough else None


def _edges(r: MeasuredRepetition, window: Window) -> Ints:
    """Equal intervals of the window, wide enough to hold some requests each."""
    intervals = min(limits.STEADY_INTERVALS, int(r.cohort.sum()) // limits.REQUESTS_PER_INTERVAL)
    return np.linspace(window.start_ns, window.end_ns, max(intervals, 1) + 1).astype(np.int64)


def _series(r: MeasuredRepetition, window: Window) -> Mapping[str, Floats]:
    edges = _edges(r, window)
    return {
        r.response_name: _response_means(r, edges),
        "requests in flight": _in_flight(r, edges),
        "tokens per second": _token_rate(r, edges),
    }


def _arrivals(r: MeasuredRepetition, edges: Ints) -> Floats:
    return np.histogram(r.origin_ns[r.cohort], edges)[0].astype(np.float64)


def _in_flight(r: MeasuredRepetition, edges: Ints) -> Floats:
    """From the origin: what waits in the client of an open loop is as much in the queue as what waits in the server."""
    begun = known(r.origin_ns)
    return mean_between(r.origin_ns[begun], r.ended_ns[begun], edges)


def _token_rate(r: MeasuredRepetition, edges: Ints) -> Floats:
    """Each answer's tokens spread evenly from its first to its last: no pass over 10^8 chunks."""
    rows = r.rows
    told = known(rows.first_token_ns) & known(rows.last_token_ns)
    first, last = rows.first_token_ns[told], rows.last_token_ns[told]
    last = np.maximum(last, first + 1)
    return mean_between(first, last, edges, rows.output_tokens_asked[told] / (last - first)) * 1e9


def _response_means(r: MeasuredRepetition, edges: Ints) -> Floats:
    """By the instant of the origin; NaN where no request that was answered began."""
    seen = r.first_seen_ns
    chosen = r.cohort & known(seen)
    origins = r.origin_ns[chosen]
    waits = (seen[chosen] - origins).astype(np.float64)
    bins = np.clip(np.searchsorted(edges, origins, side="right") - 1, 0, edges.size - 2)
    counts = np.bincount(bins, minlength=edges.size - 1)
    sums = np.bincount(bins, waits, minlength=edges.size - 1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
