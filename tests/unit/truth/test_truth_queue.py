"""The truth server's queue against a simulation of the same arrivals, and against M/D/1 in closed form."""

from __future__ import annotations

import heapq

import numpy as np

from harness.truth.asked import Asked
from harness.truth.behaviour import Behaviour
from harness.truth.service import Service
from tests.oracle.queue import over_md1

SERVICE_S = 0.01


class _NoLog:
    def add(self, request: object) -> None: ...


def _waits(arrivals_ns: list[int], servers: int) -> list[int]:
    """What the service adds before the first token of each request."""
    service = Service(Behaviour(servers=servers, service_s=SERVICE_S), None, _NoLog())  # type: ignore[arg-type]
    found = []
    for number, at in enumerate(arrivals_ns):
        asked = Asked.__new__(Asked)
        for name, value in (("request_id", f"r{number}"), ("output_tokens", 1), ("is_streaming", True)):
            object.__setattr__(asked, name, value)
        found.append(service.schedule(asked, at).offsets_ns[0])
    return found


def _arrivals(rate: float, n: int) -> list[int]:
    return np.cumsum(np.random.default_rng(3).exponential(1e9 / rate, n)).astype(int).tolist()


def test_waits_are_those_of_a_first_come_first_served_queue() -> None:
    for servers in (1, 3):
        arrivals, free, expected = _arrivals(90.0 * servers, 500), [0] * servers, []
        for at in arrivals:
            begins = max(at, heapq.heappop(free))
            heapq.heappush(free, begins + 10_000_000)
            expected.append(begins - at)
        assert _waits(arrivals, servers) == expected


def test_one_server_is_an_m_d_1_queue() -> None:
    rate, limit_s = 70.0, 0.02
    waits = np.asarray(_waits(_arrivals(rate, 40_000), 1)) / 1e9
    assert abs(float((waits > limit_s).mean()) - over_md1(rate, SERVICE_S, limit_s)) < 0.02
