"""How the load of a point is named: a concurrency, a request rate, or, where there is no one rate, its arrivals."""

from __future__ import annotations

from harness.records.manifest import Point
from harness.scenario.arrivals import (
    Arrivals,
    GammaArrivals,
    OnOffArrivals,
    RampArrivals,
    StepArrivals,
    TraceArrivals,
    rate_levels,
)
from harness.scenario.load import Load, MultiTenant, OpenLoop
from harness.scenario.schema import Scenario

CLOSED_LOOP, OPEN_LOOP = "closed_loop", "open_loop"
REQUESTS, CONVERSATIONS, ARRIVALS = "req/s", "conversations/s", "arrivals/s"
MOST_STEPS = 6  # named one by one


def is_closed(point: Point) -> bool:
    """Whether users waited for their answers."""
    return point.load_kind == CLOSED_LOOP


def level(point: Point) -> float:
    """The load as a number: concurrency, or intended requests per second (their mean where the rate changes)."""
    return float(point.concurrency or point.request_rate_per_s or 0)


def name(point: Point, load: Load) -> str:
    """The load level alone: `16`, `2.5` (req/s), `ramp 2 → 20 req/s`, `trace day.csv`, `3 tenants`."""
    changing = None if is_closed(point) else without_one_rate(load)
    return changing or f"{level(point):g}"


def label(point: Point, load: Load, unit: str = REQUESTS) -> str:
    """The load level in words. `unit`: what arrives, see `arriving`."""
    if is_closed(point):
        return f"concurrency {level(point):g}"
    return without_one_rate(load) or f"{level(point):g} {unit}"


def arriving(point: Point, scenario: Scenario) -> str:
    """The unit of the rate of arrivals: where turns follow each other, what arrives is a conversation."""
    parts = [part for workload in scenario.workload if workload.name == point.workload for part in workload.parts]
    talking = sum(part.sessions is not None for part in parts)
    if not talking:
        return REQUESTS
    return CONVERSATIONS if talking == len(parts) else ARRIVALS


def without_one_rate(load: Load) -> str | None:
    """The words for a load whose points have no one rate; None where they do."""
    match load:
        case MultiTenant(tenants=tenants):
            return f"{len(tenants)} tenants" if len(tenants) > 1 else f"tenant {tenants[0].name}"
        case OpenLoop(arrivals=arrivals) if rate_levels(arrivals) is None:
            return _changing(arrivals)
    return None


def _changing(arrivals: Arrivals) -> str:
    match arrivals:
        case RampArrivals(from_request_rate_per_s=first, to_request_rate_per_s=last):
            return f"ramp {first:g} → {last:g} req/s"
        case StepArrivals(request_rate_per_s=rates) if len(rates) <= MOST_STEPS:
            return f"steps {', '.join(f'{rate:g}' for rate in rates)} req/s"
        case StepArrivals(request_rate_per_s=rates):
            return f"{len(rates)} steps, {min(rates):g} to {max(rates):g} req/s"
        case TraceArrivals(file=file, time_scale=scale):
            return f"trace {file.name}" + (f" × {scale:g}" if scale != 1 else "")
    return arrivals.process


def process(load: Load) -> str:
    """The arrival process in words, for a sentence: `Poisson arrivals`."""
    match load:
        case OpenLoop(arrivals=GammaArrivals(burstiness=shape)):
            return f"gamma arrivals, burstiness {shape:g}"
        case OpenLoop(arrivals=OnOffArrivals(on_s=on, off_s=off)):
            return f"bursts of {on:g} s, {off:g} s apart"
        case OpenLoop(arrivals=arrivals) if rate_levels(arrivals) is not None:
            return {"poisson": "Poisson arrivals", "constant": "evenly spaced arrivals"}[arrivals.process]
        case OpenLoop(arrivals=TraceArrivals()):
            return "recorded arrivals"
        case OpenLoop():
            return "Poisson arrivals at a changing rate"
        case MultiTenant():
            return "arrivals of each tenant's own"
    return "arrivals as planned"
