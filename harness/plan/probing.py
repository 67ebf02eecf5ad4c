"""One probe of a search as a scenario and a point of its own: the load, a window long enough, arrivals of its own."""

from __future__ import annotations

import dataclasses
import math

from harness.plan import matrix
from harness.plan.seeds import derive
from harness.records.manifest import Point
from harness.scenario.arrivals import rate_levels
from harness.scenario.load import ClosedLoop, OpenLoop
from harness.scenario.schema import Phases, Scenario
from harness.scenario.size import Size

SPARE = 3.0  # standard deviations of a Poisson count: so that the cohort has the requests that the test needs


def probe_scenario(scenario: Scenario, load: float, requests: int, number: int) -> Scenario:
    """The scenario of probe `number`: `load`, at least `requests` requests in the window, a seed of its own.

    Probes must not share arrivals: a confirmation with the same arrivals would repeat the same luck.
    """
    size = scenario.size
    assert size is not None
    match scenario.load:
        case ClosedLoop() as closed:
            asked: ClosedLoop | OpenLoop = closed.model_copy(update={"concurrency": [int(load)]})
            window: dict[str, object] = {"window_s": None, "window_requests": requests}
        case OpenLoop() as opened:
            arrivals = opened.arrivals.model_copy(update={"request_rate_per_s": [load]})
            asked = opened.model_copy(update={"arrivals": arrivals})
            window = {"window_s": window_s(size, load, requests), "window_requests": None}
        case _:
            raise TypeError("the schema lets no other load through")
    phases: Phases = scenario.phases.model_copy(update={**window, "drain_limit_s": size.drain_limit_s})
    changes = {"load": asked, "phases": phases, "repetitions": 1, "vary": None}
    return scenario.model_copy(update={**changes, "seed": derive(scenario.seed, "probes", str(number)) % 2**63})


def planned_requests(scenario: Scenario) -> int:
    """So many requests a probe's cohort has at most, but for one in a thousand. `scenario`: the probe's own."""
    phases, load = scenario.phases, scenario.load
    if phases.window_requests is not None or not isinstance(load, OpenLoop):
        return phases.window_requests or 0
    (rate,) = rate_levels(load.arrivals) or (0.0,)
    mean = rate * (phases.window_s or 0.0)
    return math.ceil(mean + SPARE * math.sqrt(mean))


def window_s(size: Size, load: float, requests: int) -> float:
    """Seconds until `requests` arrivals at `load` per second are there almost surely."""
    return max(size.shortest_window_s, (requests + SPARE * math.sqrt(requests)) / load)


def probe_point(scenario: Scenario, deployment_id: str, number: int) -> Point:
    """The one point of a probe's scenario, under an id that tells deployment and probe."""
    (point,) = matrix.points(scenario, deployment_id)
    point_id = f"{deployment_id}-probe{number}-{point.point_id.rpartition('-')[2]}"
    return dataclasses.replace(point, point_id=point_id, streamed=scenario.request.stream)
