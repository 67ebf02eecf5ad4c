"""Queues whose answer is known: simulated request by request, and in closed form. Seconds and requests per second."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

Service = Literal["fixed", "exponential"]


def waits(seed: int, rate: float, service_s: float, servers: int, n: int, law: Service) -> npt.NDArray[np.float64]:
    """Waits of n Poisson arrivals at a first-come first-served queue, after a warm-up that is thrown away."""
    random, warm_up = np.random.default_rng(seed), 300
    arrivals = np.cumsum(random.exponential(1 / rate, n + warm_up))
    services = np.full(arrivals.size, service_s) if law == "fixed" else random.exponential(service_s, arrivals.size)
    free = [0.0] * servers
    found = np.empty(arrivals.size)
    for i, (arrived, takes) in enumerate(zip(arrivals, services, strict=True)):
        begins = max(arrived, heapq.heappop(free))
        found[i] = begins - arrived
        heapq.heappush(free, begins + takes)
    return found[warm_up:]


def over_md1(rate: float, service_s: float, limit_s: float) -> float:
    """P(wait > limit) of M/D/1 (Erlang 1909). The alternating sum is exact for limits of a few service times."""
    within = sum(
        (-rate * (limit_s - k * service_s)) ** k / math.factorial(k) * math.exp(rate * (limit_s - k * service_s))
        for k in range(int(limit_s // service_s) + 1)
    )
    return 1 - (1 - rate * service_s) * within


def over_mmc(rate: float, service_s: float, servers: int, limit_s: float) -> float:
    """P(wait > limit) of M/M/c: Erlang C times an exponential tail."""
    load = rate * service_s
    queued = load**servers / math.factorial(servers) * servers / (servers - load)
    erlang_c = queued / (sum(load**k / math.factorial(k) for k in range(servers)) + queued)
    return erlang_c * math.exp(-(servers / service_s - rate) * limit_s)


def optimum(over: Callable[[float], float], capacity: float, share: float) -> float:
    """The highest rate at which at most 1 - `share` of the requests wait longer than the limit."""
    return float(brentq(lambda rate: over(rate) - (1 - share), capacity * 1e-3, capacity * (1 - 1e-6)))
