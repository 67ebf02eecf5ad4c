"""The truth server's queue against a simulation of the same arrivals, and against M/D/1 in closed form."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness.truth.asked import Asked
from harness.truth.behaviour import Behaviour
from harness.truth.service import Service
from tests.oracle.queue import over_md1, over_mmc

SERVICE_S = 0.01


class _NoLog:
    def add(self, request: object) -> None: ...


def _waits(arrivals_ns: list[int], servers: int, **behaviour: Any) -> list[int]:
    """What the service adds before the first token of each request."""
    told = Behaviour(servers=servers, service_s=SERVICE_S, **behaviour)
    service = Service(told, None, _NoLog())  # type: ignore[arg-type]
    found = []
    for number, at in enumerate(arrivals_ns):
        asked = Asked.__new__(Asked)
        for name, value in (("request_id", f"r{number}"), ("output_tokens", 1), ("is_streaming", True)):
            object.__setattr__(asked, name, value)
        schedule = service.schedule(asked, at)
        found.append(schedule.offsets_ns[0] if schedule.offsets_ns else schedule.end_offset_ns)
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


@pytest.mark.parametrize("servers", [1, 4])
def test_exponential_service_is_an_m_m_c_queue(servers: int) -> None:
    rate, limit_s = 75.0 * servers, 0.02
    waits = np.asarray(_waits(_arrivals(rate, 60_000), servers, service_law="exponential")) / 1e9
    assert abs(float((waits > limit_s).mean()) - over_mmc(rate, SERVICE_S, servers, limit_s)) < 0.03


def test_a_rejected_request_takes_no_server() -> None:
    arrivals = _arrivals(150.0, 400)  # one and a half times what the server can do: without rejections all wait
    rejecting = _waits(arrivals, 1, reject_share=1.0)
    assert set(rejecting) == {0}
    half = _waits(arrivals, 1, reject_share=0.5)
    assert max(half) < max(_waits(arrivals, 1)) / 4


@pytest.mark.parametrize("given", [{"service_s": 0.01}, {"servers": 0, "service_s": 0.01}, {"servers": 2}])
def test_half_a_queue_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="server"):
        Behaviour(**given)
