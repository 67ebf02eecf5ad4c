"""How long a run will take, roughly, before anything is known about the target. Seconds.

Warm-up and window stand in the scenario, the requests of an open loop in its plan. How long one request takes does
not: it is assumed from its lengths and the two rates below (a small model on a CPU, or a large one on a busy GPU), and
every figure that rests on it says "about".
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.manifest import Point
from harness.scenario.schema import Scenario

ASSUMED_INPUT_TOKENS_PER_S = 2000.0
ASSUMED_OUTPUT_TOKENS_PER_S = 30.0
OVERHEAD_S = 3.0  # per repetition: start the load generator, write the requests, open connections, merge records
WARM_UP_REQUESTS_PER_USER = 2


@dataclass(frozen=True)
class Estimate:
    """Durations over all points and repetitions in seconds, and the requests that would be sent meanwhile."""

    warm_up_s: float
    window_s: float
    drain_s: float
    overhead_s: float
    requests: float

    @property
    def total_s(self) -> float:
        """The whole run, without starting or stopping a target."""
        return self.warm_up_s + self.window_s + self.drain_s + self.overhead_s


def estimate(scenario: Scenario, points: list[Point]) -> Estimate:
    """The estimate for these points, all repetitions."""
    each = [estimate_point(scenario, point) for point in points]
    return Estimate(
        warm_up_s=sum(one.warm_up_s for one in each),
        window_s=sum(one.window_s for one in each),
        drain_s=sum(one.drain_s for one in each),
        overhead_s=sum(one.overhead_s for one in each),
        requests=sum(one.requests for one in each),
    )


def estimate_point(scenario: Scenario, point: Point) -> Estimate:
    """The estimate for all repetitions of one point."""
    if point.concurrency is None:
        return _of_open_loop(scenario, point)
    phases, users = scenario.phases, point.concurrency
    request_s = assumed_request_s(point)
    warm_up_s = max(phases.warm_up_s, WARM_UP_REQUESTS_PER_USER * request_s)
    window_s = phases.window_length_s or (phases.window_requests or 0) / users * request_s
    drain_s = min(scenario.drain_limit_s, request_s)
    loaded_s = warm_up_s + window_s + drain_s
    most = point.max_requests if point.max_requests is not None else float("inf")
    share = min(1.0, most * request_s / users / loaded_s)  # a sequence that is used up ends the repetition early
    times = point.repetitions
    return Estimate(
        warm_up_s=times * share * warm_up_s,
        window_s=times * share * window_s,
        drain_s=times * share * drain_s,
        overhead_s=times * OVERHEAD_S,
        requests=times * share * users * loaded_s / request_s,
    )


def _of_open_loop(scenario: Scenario, point: Point) -> Estimate:
    """Phases last as planned, whatever the server does; of the drain, one request's assumed length."""
    phases = scenario.phases
    window_s = phases.window_length_s or 0.0
    drain_s = min(scenario.drain_limit_s, assumed_request_s(point))
    planned_s = phases.warm_up_s + window_s + scenario.drain_limit_s
    sent = (point.max_requests or 0) * (phases.warm_up_s + window_s + drain_s) / planned_s
    times = point.repetitions
    return Estimate(
        warm_up_s=times * phases.warm_up_s,
        window_s=times * window_s,
        drain_s=times * drain_s,
        overhead_s=times * OVERHEAD_S,
        requests=times * sent,
    )


def assumed_request_s(point: Point) -> float:
    """How long one request is assumed to take."""
    return point.input_tokens_mean / ASSUMED_INPUT_TOKENS_PER_S + point.output_tokens_mean / ASSUMED_OUTPUT_TOKENS_PER_S
