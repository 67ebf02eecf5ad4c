"""From perf_analyzer's wall-clock instants to the run's clock, with a bound on what that may be wrong by.

Both clocks are read before and after the tool runs. In between the wall clock may be slewed or stepped; an instant is
mapped along the straight line between the two readings, so it is wrong by at most the change of the offset plus how far
apart the two clocks of one reading were read. Nanoseconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

TRIES = 20


@dataclass(frozen=True)
class Reading:
    """Both clocks at one instant: `offset_ns` = wall − monotonic, known to ± `half_width_ns`."""

    wall_ns: int
    offset_ns: int
    half_width_ns: int


def read() -> Reading:
    """The tightest of some tries."""
    tries = []
    for _ in range(TRIES):
        before, wall, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        tries.append(Reading(wall, wall - (before + after) // 2, (after - before + 1) // 2))
    return min(tries, key=lambda reading: reading.half_width_ns)


@dataclass(frozen=True)
class WallClock:
    """The mapping between two readings."""

    before: Reading
    after: Reading

    @property
    def bound_ns(self) -> int:
        """The largest error of a mapped instant."""
        change = abs(self.after.offset_ns - self.before.offset_ns)
        return change + max(self.before.half_width_ns, self.after.half_width_ns)

    def to_monotonic_ns(self, wall_ns: int) -> int:
        """A wall-clock instant on the run's clock."""
        length = self.after.wall_ns - self.before.wall_ns
        change = self.after.offset_ns - self.before.offset_ns
        passed = wall_ns - self.before.wall_ns
        return wall_ns - self.before.offset_ns - (passed * change // length if length > 0 else 0)
