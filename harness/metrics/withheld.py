"""Statistics kept back because they mean nothing: an overload's latencies only tell how long it was watched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from harness.metrics.catalog import METRICS
from harness.metrics.results import PointSummary, Statistics


def without_percentiles(summary: PointSummary, reason: str) -> PointSummary:
    """The summary with `reason` in place of every request- and chunk-level statistic that has a better direction.

    Lengths, rates, ratios and goodput stay: they are counts of what happened.
    """
    repetitions = [dataclasses.replace(r, metrics=_withheld(r.metrics, reason)) for r in summary.repetitions]
    return dataclasses.replace(summary, repetitions=repetitions, metrics=_withheld(summary.metrics, reason))


def _withheld(metrics: Mapping[str, Statistics], reason: str) -> dict[str, Statistics]:
    return {name: _said(values, reason) if _is_latency(name) else values for name, values in metrics.items()}


def _is_latency(name: str) -> bool:
    return METRICS[name].level != "point" and METRICS[name].better is not None


def _said(statistics: Statistics, reason: str) -> Statistics:
    return {
        key: dataclasses.replace(
            value, value=None, low=None, high=None, interval=None, above=False, below=False, reason=reason
        )
        for key, value in statistics.items()
    }
