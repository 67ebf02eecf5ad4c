"""The points of a scenario: every workload at every load level, and the order in which they are measured."""

from __future__ import annotations

import numpy as np

from harness.errors import UsageError
from harness.plan.open_loop import open_rows, request_rate
from harness.plan.seeds import derive, permutation
from harness.plan.sequence import Sequence, draw_sequence
from harness.records.manifest import Point
from harness.scenario.arrivals import rate_levels
from harness.scenario.load import ClosedLoop, MultiTenant, OpenLoop
from harness.scenario.schema import Scenario
from harness.scenario.workload import Workload
from harness.units import show_bytes

MOST_REQUESTS = 100_000
MOST_REQUEST_BYTES = 256 * 1024 * 1024
MOST_OPEN_BYTES = 1024 * 1024 * 1024  # an open loop cannot be cut short: its plan reaches to the drain limit
BYTES_PER_TOKEN = 8  # a word and its space; measured 6 to 7 with English vocabularies
BYTES_PER_REQUEST = 1024  # tensors, names and options around the prompt


def points(scenario: Scenario, deployment_id: str) -> list[Point]:
    """One point per workload and load level, in the order written; the files of the scenario must have been read.

    Ids are `<workload>-c<concurrency>`, `<workload>-r<request rate>`, or, where a load has no levels, `<workload>-` and
    the name of its process or `tenants`: unique because workload names and levels are, safe in file names and gRPC.
    """
    return [point for workload in scenario.workload for point in _points_of(workload, scenario, deployment_id)]


def order(points: list[Point], repetitions: int, seed: int) -> list[tuple[Point, int]]:
    """All (point, repetition) in seeded order; `seed` is the run seed.

    Every repetition visits all points, in an order of its own, before the next one begins: a slow drift of the machine
    then falls on all points alike. Repetitions count from 0.
    """
    return [
        (points[i], repetition)
        for repetition in range(repetitions)
        for i in permutation(derive(seed, "order", str(repetition)), len(points)).tolist()
    ]


def fitting_requests(sequence: Sequence) -> int:
    """How many requests of the sequence fit in MOST_REQUEST_BYTES (estimated); at least 1."""
    sizes = np.cumsum(sequence.input_tokens * BYTES_PER_TOKEN + BYTES_PER_REQUEST)
    return max(1, int(np.searchsorted(sizes, MOST_REQUEST_BYTES, side="right")))


def _points_of(workload: Workload, scenario: Scenario, deployment_id: str) -> list[Point]:
    match scenario.load:
        case ClosedLoop() as load:
            drawn = draw_sequence(workload, scenario.seed, load.max_requests or MOST_REQUESTS)
            requests = load.max_requests or fitting_requests(drawn)
            return [
                _point(scenario, workload, deployment_id, f"c{level}", drawn, requests, concurrency=level)
                for level in load.concurrency
            ]
        case OpenLoop(arrivals=arrivals) if (levels := rate_levels(arrivals)) is not None:
            return [
                _open_point(scenario, workload, deployment_id, f"r{np.format_float_positional(rate, trim='-')}", rate)
                for rate in levels
            ]
        case OpenLoop(arrivals=arrivals):
            return [_open_point(scenario, workload, deployment_id, arrivals.process, None)]
        case MultiTenant():
            return [_open_point(scenario, workload, deployment_id, "tenants", None)]


def _open_point(scenario: Scenario, workload: Workload, deployment_id: str, level: str, rate: float | None) -> Point:
    drawn = open_rows(scenario, workload, rate).sequence
    size = int((drawn.input_tokens * BYTES_PER_TOKEN + BYTES_PER_REQUEST).sum())
    if size > MOST_OPEN_BYTES:
        raise UsageError(
            f"{workload.name}-{level}: the requests of one repetition come to about {show_bytes(size)}, more than"
            f" {show_bytes(MOST_OPEN_BYTES)}: they are written before it begins, to the end of the drain",
            hint="lower phases.drain_limit_s (default: the longest timeout), phases.window_s or the request rate",
        )
    offered = request_rate(scenario, workload, rate)
    return _point(scenario, workload, deployment_id, level, drawn, len(drawn), request_rate_per_s=offered)


def _point(
    scenario: Scenario,
    workload: Workload,
    deployment_id: str,
    level: str,
    drawn: Sequence,
    requests: int,
    concurrency: int | None = None,
    request_rate_per_s: float | None = None,
) -> Point:
    return Point(
        point_id=f"{workload.name}-{level}",
        deployment_id=deployment_id,
        workload=workload.name,
        load_kind="closed_loop" if request_rate_per_s is None else "open_loop",
        concurrency=concurrency,
        request_rate_per_s=request_rate_per_s,
        repetitions=scenario.repetitions,
        max_requests=requests,
        input_tokens_mean=float(drawn.input_tokens[:requests].mean()),
        output_tokens_mean=float(drawn.output_tokens[:requests].mean()),
    )
