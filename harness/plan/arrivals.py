"""When requests arrive: offsets in nanoseconds from the start of a repetition, warm-up included, up to the drain limit.

Every process draws gaps of mean 1 from the seed `arrivals`, one per arrival, and turns them into instants: the rates of
one scenario share their randomness (rate 4 has the arrivals of rate 2 in half the time), repetitions and arms share
their arrivals. Nothing is rescaled so that a number of arrivals, or a last one, falls anywhere: counts vary as the
process says. The last arrival is the last one before the end, not an arrival at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plan.gamma import unit_gammas
from harness.plan.rate_curve import RateCurve, Stretch
from harness.plan.seeds import derive, uniforms
from harness.records.schemas import PHASES
from harness.scenario.arrivals import (
    Arrivals,
    ConstantArrivals,
    GammaArrivals,
    OnOffArrivals,
    PoissonArrivals,
    RampArrivals,
    StepArrivals,
    TraceArrivals,
)
from harness.scenario.schema import Scenario
from harness.units import NS_PER_S, from_seconds, show_duration, to_seconds

MOST_ARRIVALS = 1_000_000  # of one repetition

Gaps = Callable[[int], NDArray[np.float64]]
Followed = PoissonArrivals | OnOffArrivals | RampArrivals | StepArrivals


@dataclass(frozen=True)
class Spans:
    """The planned phases of an open loop, as instants from the start of the repetition."""

    window_start_ns: int
    window_end_ns: int
    end_ns: int

    @staticmethod
    def of(scenario: Scenario) -> Spans:
        """From the phase lengths of a scenario (whose window is a length of time)."""
        start = from_seconds(scenario.phases.warm_up_s)
        end = start + from_seconds(scenario.phases.window_length_s or 0)
        return Spans(start, end, end + from_seconds(scenario.drain_limit_s))

    def phases(self, offsets_ns: NDArray[np.int64]) -> pa.Array:
        """The phase that each instant falls into: the window is [start, end)."""
        at = np.searchsorted([self.window_start_ns, self.window_end_ns], offsets_ns, side="right")
        return pa.array(PHASES, pa.string()).take(pa.array(at))

    def in_window(self, offsets_ns: NDArray[np.int64]) -> int:
        """How many instants fall into the window."""
        return int(((offsets_ns >= self.window_start_ns) & (offsets_ns < self.window_end_ns)).sum())


def arrival_offsets(
    arrivals: Arrivals, rate: float, spans: Spans, run_seed: int, qualifiers: tuple[str, ...]
) -> NDArray[np.int64]:
    """All arrivals before `spans.end_ns`, in order. `rate` is the level of a process with levels, else ignored.

    `qualifiers` name the stream (workload, tenant). Raises UsageError for more than MOST_ARRIVALS.
    """
    end_s = to_seconds(spans.end_ns)
    match arrivals:
        case TraceArrivals():
            return _replayed(arrivals, spans)
        case ConstantArrivals():
            _refuse_too_many(rate * end_s)
            offsets = np.arange(int(rate * end_s) + 2) / rate
        case GammaArrivals():
            gammas = partial(unit_gammas, run_seed, (*qualifiers, "gamma"), arrivals.burstiness)
            offsets = _summed(gammas, rate * end_s) / rate
        case _:
            seed = derive(run_seed, "arrivals", *qualifiers)
            curve = rate_curve(arrivals, rate, spans)
            ones = _summed(lambda count: -np.log(uniforms(seed, count)), curve.arrivals)
            offsets = curve.instants(ones[ones < curve.arrivals])
    instants = np.rint(offsets * NS_PER_S).astype(np.int64)
    return instants[instants < spans.end_ns]


def mean_rate(arrivals: Arrivals, rate: float, spans: Spans) -> float:
    """Intended arrivals per second of the window: of the process, or of a trace's rows in it."""
    window_s = to_seconds(spans.window_end_ns - spans.window_start_ns)
    match arrivals:
        case TraceArrivals():
            return spans.in_window(_replayed(arrivals, spans)) / window_s
        case RampArrivals() | StepArrivals():
            curve = rate_curve(arrivals, rate, spans)
            edges = [curve.expected_until(to_seconds(edge)) for edge in (spans.window_start_ns, spans.window_end_ns)]
            return (edges[1] - edges[0]) / window_s
        case _:
            return rate


def rate_curve(arrivals: Followed, rate: float, spans: Spans) -> RateCurve:
    """The rate over the repetition. Ramp and steps lie in the window: warm-up and drain keep the rate of its ends."""
    start, window_end, end = map(to_seconds, (spans.window_start_ns, spans.window_end_ns, spans.end_ns))
    match arrivals:
        case PoissonArrivals():
            return RateCurve((Stretch(0, end, rate, rate),))
        case RampArrivals():
            low, high = arrivals.from_request_rate_per_s, arrivals.to_request_rate_per_s
            return RateCurve(
                (
                    Stretch(0, start, low, low),
                    Stretch(start, window_end, low, high),
                    Stretch(window_end, end, high, high),
                )
            )
        case StepArrivals():
            rates = arrivals.request_rate_per_s
            edges = [0.0, *(start + number * arrivals.step_s for number in range(1, len(rates))), end]
            return RateCurve(tuple(Stretch(*edge, r, r) for edge, r in zip(pairwise(edges), rates, strict=True)))
        case OnOffArrivals():
            return _bursts(arrivals, rate, start, end)


def _bursts(arrivals: OnOffArrivals, rate: float, window_start: float, end: float) -> RateCurve:
    """Bursts and silences in turn; one burst begins with the window."""
    cycle = arrivals.on_s + arrivals.off_s
    loud = rate * cycle / arrivals.on_s
    begin = window_start - np.ceil(window_start / cycle) * cycle
    stretches = []
    for number in range(int(np.ceil((end - begin) / cycle))):
        for offset, length, each in ((0.0, arrivals.on_s, loud), (arrivals.on_s, arrivals.off_s, 0.0)):
            at = begin + number * cycle + offset
            if at + length > 0 and at < end:
                stretches.append(Stretch(max(at, 0.0), min(at + length, end), each, each))
    return RateCurve(tuple(stretches))


def _summed(gaps: Gaps, expected: float) -> NDArray[np.float64]:
    """Sums of the first gaps, enough of them to pass `expected`."""
    _refuse_too_many(expected)
    count = int(expected + 6 * np.sqrt(expected)) + 16
    while count <= 16 * MOST_ARRIVALS:
        sums = np.cumsum(gaps(count))
        if sums[-1] >= expected:
            return sums
        count *= 2
    raise UsageError("the arrivals are too bursty to be planned", hint="raise `burstiness`")


def _replayed(arrivals: TraceArrivals, spans: Spans) -> NDArray[np.int64]:
    if arrivals.trace is None:
        raise UsageError(f"{arrivals.file}: the trace was not read", hint="read it first: plan.files.with_files_read")
    recorded = np.asarray([row.arrival_ns for row in arrivals.trace.rows], dtype=np.int64)
    offsets = np.rint((recorded - from_seconds(arrivals.start_s)) / arrivals.time_scale).astype(np.int64)
    kept = offsets[(offsets >= 0) & (offsets < spans.end_ns)]
    if spans.in_window(kept) == 0:
        lasts = to_seconds(arrivals.trace.length_ns) / arrivals.time_scale
        raise UsageError(
            f"{arrivals.file.name}: no arrival of the trace falls into the window"
            f" ({show_duration(to_seconds(spans.window_start_ns))} to {show_duration(to_seconds(spans.window_end_ns))}"
            f" after the start; replayed, the whole trace lasts {show_duration(lasts)})",
            hint="change phases.warm_up_s, phases.window_s, or start_s and time_scale of the trace",
        )
    return kept


def silence_before_end(arrivals: TraceArrivals, spans: Spans) -> int:
    """How long before the end of the window the whole trace is over, in nanoseconds; 0 when it lasts longer."""
    length_ns = arrivals.trace.length_ns if arrivals.trace is not None else 0
    last = round((length_ns - from_seconds(arrivals.start_s)) / arrivals.time_scale)
    return max(0, spans.window_end_ns - last)


def first_row(arrivals: TraceArrivals) -> int:
    """The number of the trace's row that is the first arrival of the replay."""
    rows = arrivals.trace.rows if arrivals.trace is not None else ()
    return int(np.searchsorted([row.arrival_ns for row in rows], from_seconds(arrivals.start_s), side="left"))


def _refuse_too_many(expected: float) -> None:
    if expected > MOST_ARRIVALS:
        raise UsageError(
            f"about {expected:,.0f} arrivals in one repetition are more than {MOST_ARRIVALS:,}",
            hint="lower the request rate, phases.window_s, or phases.drain_limit_s (default: the longest timeout)",
        )
