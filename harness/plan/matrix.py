"""The points of a scenario: every workload at every load level, and the order in which they are measured."""

from __future__ import annotations

import numpy as np

from harness.errors import UsageError
from harness.plan.seeds import derive, permutation
from harness.plan.sequence import Sequence, draw_sequence
from harness.records.manifest import Point
from harness.scenario.load import ClosedLoop
from harness.scenario.schema import Scenario
from harness.scenario.workload import Workload

MOST_REQUESTS = 100_000
MOST_REQUEST_BYTES = 256 * 1024 * 1024
BYTES_PER_TOKEN = 8  # a word and its space; measured 6 to 7 with English vocabularies
BYTES_PER_REQUEST = 1024  # tensors, names and options around the prompt


def points(scenario: Scenario, deployment_id: str) -> list[Point]:
    """One point per workload and concurrency, in the order written. Raises UsageError for an open loop.

    Ids are `<workload>-c<concurrency>`: unique because workload names and levels are, and safe in file names and gRPC.
    """
    load = closed_loop(scenario)
    return [point for workload in scenario.workload for point in _points_of(workload, load, scenario, deployment_id)]


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


def closed_loop(scenario: Scenario) -> ClosedLoop:
    """The scenario's load when it is one that this version can plan; UsageError else."""
    if isinstance(scenario.load, ClosedLoop):
        return scenario.load
    raise UsageError(
        "open_loop: arrivals come with the next release; this one measures closed loops",
        hint="use `load: {kind: closed_loop, concurrency: [1, 4, 16]}`",
    )


def fitting_requests(sequence: Sequence) -> int:
    """How many requests of the sequence fit in MOST_REQUEST_BYTES (estimated); at least 1."""
    sizes = np.cumsum(sequence.input_tokens * BYTES_PER_TOKEN + BYTES_PER_REQUEST)
    return max(1, int(np.searchsorted(sizes, MOST_REQUEST_BYTES, side="right")))


def _points_of(workload: Workload, load: ClosedLoop, scenario: Scenario, deployment_id: str) -> list[Point]:
    drawn = draw_sequence(workload, scenario.seed, load.max_requests or MOST_REQUESTS)
    requests = load.max_requests or fitting_requests(drawn)
    return [
        Point(
            point_id=f"{workload.name}-c{concurrency}",
            deployment_id=deployment_id,
            workload=workload.name,
            load_kind=load.kind,
            concurrency=concurrency,
            request_rate_per_s=None,
            repetitions=scenario.repetitions,
            max_requests=requests,
            input_tokens_mean=float(drawn.input_tokens[:requests].mean()),
            output_tokens_mean=float(drawn.output_tokens[:requests].mean()),
        )
        for concurrency in load.concurrency
    ]
