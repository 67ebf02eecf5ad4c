"""The requests of an open loop: the arrivals of all streams in order of time, sessions spread out into turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.arrivals import Spans, arrival_offsets, mean_rate
from harness.plan.asked import draw_asked, in_order
from harness.plan.sequence import Sequence, as_rows
from harness.plan.stream import Stream, only_rate, streams
from harness.scenario.arrivals import Arrivals
from harness.scenario.schema import Scenario
from harness.scenario.workload import Workload


@dataclass(frozen=True)
class OpenRows:
    """One repetition's requests, as planned. `offset_ns` is that of the arrival: for a session, of its first turn."""

    sequence: Sequence
    offset_ns: NDArray[np.int64]
    tenant: pa.Array
    spans: Spans

    @property
    def intended_offset_ns(self) -> pa.Array:
        """Null for later turns: they follow from the answers."""
        return pa.array(self.offset_ns, mask=self.sequence.turn > 0)

    @property
    def phase(self) -> pa.Array:
        """The planned phase; null for later turns."""
        return pc.if_else(
            pa.array(self.sequence.turn > 0), pa.scalar(None, pa.string()), self.spans.phases(self.offset_ns)
        )


def open_rows(scenario: Scenario, workload: Workload, rate: float | None) -> OpenRows:
    """The plan of one point; `rate` is its level, None where the load has none. Raises UsageError when it is empty."""
    spans, sources = Spans.of(scenario), streams(scenario, rate)
    offsets = [_offsets(stream, workload, spans, scenario.seed) for stream in sources]
    every = np.concatenate(offsets)
    if spans.in_window(every) == 0:
        raise UsageError(
            f"workload {workload.name}: no request arrives in the window",
            hint="raise the request rate or phases.window_s",
        )
    order = np.argsort(every, kind="stable")  # at the same instant: in the order of the tenants
    asked = [
        draw_asked(workload, scenario.seed, len(own), stream) for own, stream in zip(offsets, sources, strict=True)
    ]
    rows = as_rows(in_order(asked, order))
    owner = np.repeat(np.arange(len(sources)), [len(own) for own in offsets])[order]
    names = pa.array([stream.tenant for stream in sources], pa.string())
    return OpenRows(rows, every[order][rows.arrival], names.take(pa.array(owner[rows.arrival])), spans)


def request_rate(scenario: Scenario, workload: Workload, rate: float | None) -> float:
    """Intended arrivals per second of the window, all streams together."""
    spans = Spans.of(scenario)
    return sum(
        mean_rate(stream.arrivals, stream.rate, spans)
        for stream in streams(scenario, rate)
        if stream.arrivals is not None
    )


def offered_rate(scenario: Scenario, arrivals: Arrivals) -> float:
    """Intended arrivals per second of the window of one process with one rate."""
    return mean_rate(arrivals, only_rate(arrivals), Spans.of(scenario))


def _offsets(stream: Stream, workload: Workload, spans: Spans, run_seed: int) -> NDArray[np.int64]:
    assert stream.arrivals is not None
    return arrival_offsets(stream.arrivals, stream.rate, spans, run_seed, (workload.name, *stream.qualifiers))
