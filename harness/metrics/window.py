"""The window of one repetition: which interval was measured, and which requests belong to its cohort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.metrics.columns import MISSING, Flags, Ints, Rows, known
from harness.records.manifest import Measurement, Point

STOPPED_SATURATED = "stopped_saturated"  # Measurement.ended of a probe that its own rule stopped


@dataclass(frozen=True)
class Window:
    """[start, end) on the run's clock, and until when its requests were observed."""

    start_ns: int
    end_ns: int
    until_ns: int  # end of the drain: what is not done by then is censored here

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    def holds(self, instants: Ints) -> Flags:
        """Which instants lie in the window."""
        return known(instants) & (instants >= self.start_ns) & (instants < self.end_ns)


def window_of(measurement: Measurement) -> Window | None:
    """The window as far as it was measured; None when the repetition stopped before it opened.

    A repetition that was interrupted within its window is cut at the last instant that was observed.
    """
    start, until = measurement.window_start_ns, measurement.drain_end_ns
    if start is None:
        return None
    end = until if measurement.window_end_ns is None else min(measurement.window_end_ns, until)
    return Window(start, end, until) if end > start else None


def origins(point: Point, rows: Rows) -> Ints:
    """The instant from which each request's latency counts: intended (open loop) or sent (closed loop)."""
    return rows.intended_ns if point.load_kind == "open_loop" else rows.sent_ns


def expected_phases(measurement: Measurement, origin_ns: Ints) -> Ints:
    """The phase that follows from each origin: index into PHASES, MISSING where the origin is."""
    start, end = measurement.window_start_ns, measurement.window_end_ns
    phase = np.zeros(origin_ns.size, np.int64)
    if start is not None:
        phase += origin_ns >= start
    if start is not None and end is not None:
        phase += origin_ns >= end
    phase[~known(origin_ns)] = MISSING
    return phase
