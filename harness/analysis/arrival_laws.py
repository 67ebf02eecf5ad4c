"""The arrival laws that a scenario names for a point, and which of its requests each of them is about.

Later turns of a session follow the answer before them, not the process: they belong to no law. A trace names none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from harness.analysis.arrival_fit import Law
from harness.analysis.evidence import AnyLoad, MeasuredRepetition
from harness.metrics.columns import Flags, Floats, Ints
from harness.metrics.window import Window
from harness.scenario.arrivals import (
    Arrivals,
    ConstantArrivals,
    GammaArrivals,
    OnOffArrivals,
    PoissonArrivals,
    RampArrivals,
    StepArrivals,
    TraceArrivals,
    rate_levels,
)
from harness.scenario.load import MultiTenant, OpenLoop, arrivals_of

NS_PER_S = 1e9

Expected = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Stream:
    """Requests that arrive by one process. `law` is None where the process names none."""

    name: str  # of the tenant; empty where there is one stream
    rows: Flags
    law: Law | None


def streams(load: AnyLoad | None, r: MeasuredRepetition) -> Iterator[Stream]:
    """The arrival streams of a repetition; none in a closed loop, or where the scenario is not known."""
    if r.window is None or not r.open_loop:
        return
    first_turns = np.asarray(pc.fill_null(r.rows.table["turn"], 0).to_numpy() == 0)
    if isinstance(load, OpenLoop):
        yield Stream("", first_turns, law_of(load.arrivals, r.point.request_rate_per_s, r.window))
    elif isinstance(load, MultiTenant):
        for tenant in load.tenants:
            own = np.asarray(pc.equal(r.rows.table["tenant"], tenant.name).to_numpy(zero_copy_only=False))
            levels = rate_levels(tenant.arrivals)
            rate = levels[0] if levels else None
            yield Stream(tenant.name, first_turns & own, law_of(tenant.arrivals, rate, r.window))


def changes_on_purpose(load: AnyLoad | None) -> bool:
    """Whether the scenario asks for a load that is not the same all along: no steady state is to be expected."""
    named = [] if load is None else arrivals_of(load)
    return any(isinstance(a, OnOffArrivals | RampArrivals | StepArrivals | TraceArrivals) for a in named)


def law_of(arrivals: Arrivals, rate_per_s: float | None, window: Window) -> Law | None:
    """The law of one process; what changes its rate counts from the window's start. None for a trace."""
    match arrivals:
        case ConstantArrivals() if rate_per_s is not None:
            return _law("constant", math.inf, window, lambda t: t * rate_per_s)
        case PoissonArrivals() if rate_per_s is not None:
            return _law("poisson", 1.0, window, lambda t: t * rate_per_s)
        case GammaArrivals() if rate_per_s is not None:
            return _law("gamma", arrivals.burstiness, window, lambda t: t * rate_per_s)
        case OnOffArrivals() if rate_per_s is not None:
            return _law("on_off", 1.0, window, lambda t: _bursts(t, arrivals, rate_per_s))
        case RampArrivals():
            low, high = arrivals.from_request_rate_per_s, arrivals.to_request_rate_per_s
            rise = (high - low) / window.length_s
            return _law("ramp", 1.0, window, lambda t: low * t + rise * t * t / 2)
        case StepArrivals():
            return _law("steps", 1.0, window, lambda t: _steps(t, arrivals))
        case _:
            return None


def _law(process: str, shape: float, window: Window, expected_after: Expected) -> Law:
    """A law from the expected arrivals as a function of the seconds since the window's start."""

    def expected(instants: Ints) -> Floats:
        return np.asarray(expected_after((instants - window.start_ns) / NS_PER_S), dtype=np.float64)

    return Law(process, shape, expected)


def _bursts(t: Floats, arrivals: OnOffArrivals, rate_per_s: float) -> Floats:
    """A burst begins with the window; the rate is the average over bursts and silences."""
    cycle = arrivals.on_s + arrivals.off_s
    whole, rest = np.divmod(t, cycle)
    return (whole * arrivals.on_s + np.minimum(rest, arrivals.on_s)) * (rate_per_s * cycle / arrivals.on_s)


def _steps(t: Floats, arrivals: StepArrivals) -> Floats:
    """The last rate stays."""
    total: Floats = np.zeros_like(t)
    last = len(arrivals.request_rate_per_s) - 1
    for number, rate in enumerate(arrivals.request_rate_per_s):
        begun = t - number * arrivals.step_s
        total = total + rate * np.clip(begun, 0.0, math.inf if number == last else arrivals.step_s)
    return total
