"""The one clock: CLOCK_MONOTONIC of the load host in nanoseconds. Wall time serves only as an anchor.

`time.perf_counter_ns` reads CLOCK_MONOTONIC on Linux, which every process of a host shares.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.units import Nanoseconds


def now() -> Nanoseconds:
    """This instant on the run's clock."""
    return Nanoseconds(time.perf_counter_ns())


@dataclass(frozen=True)
class Anchor:
    """The same instant on both clocks, so that a run's instants can be shown as wall time."""

    monotonic_ns: int
    wall_ns: int

    def to_wall_ns(self, instant_ns: int) -> int:
        """A monotonic instant as nanoseconds since the Unix epoch."""
        return self.wall_ns + instant_ns - self.monotonic_ns


def anchor() -> Anchor:
    """Read both clocks as close together as a process can: the tightest of five tries."""
    tries = []
    for _ in range(5):
        before, wall, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        tries.append((after - before, Anchor((before + after) // 2, wall)))
    return min(tries, key=lambda pair: pair[0])[1]
