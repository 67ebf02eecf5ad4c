"""How long a sweep will take: an estimate before it begins, and a better one from what it took so far. Seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.plan.estimate import estimate
from harness.records.manifest import Manifest, Point
from harness.scenario.schema import Scenario
from harness.units import show_duration

ASSUMED_START_S = 8.0  # of a small engine that was built before; large ones load for minutes


class Pace:
    """Counts starts and repetitions, and what they took. A start includes stopping what was there before."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._starts, self._start_s = 0, 0.0
        self._repetitions, self._repetition_s = 0, 0.0
        self._since = now()

    @staticmethod
    def beforehand_s(scenario: Scenario, points: Sequence[Point], starts: int, share: float = 1.0) -> float:
        """So many starts, and this share of the repetitions of these points, before anything is known."""
        return share * estimate(scenario, list(points)).total_s + starts * ASSUMED_START_S

    def starting(self) -> None:
        """A deployment is being started."""
        self._starts += 1

    def started(self) -> None:
        """The deployment is ready."""
        self._start_s += self._lap()

    def measured(self) -> None:
        """A repetition is over."""
        self._repetitions, self._repetition_s = self._repetitions + 1, self._repetition_s + self._lap()

    def stopped(self) -> None:
        """The deployment is stopped, or did not start."""
        self._start_s += self._lap()

    def left_s(self, repetitions: int, starts: int) -> float | None:
        """Seconds until the end at the pace so far; None before the first repetition."""
        if not self._repetitions:
            return None
        return repetitions * self._repetition_s / self._repetitions + starts * self._start_s / max(1, self._starts)

    def describe(self, manifest: Manifest, left: tuple[int, int]) -> str:
        """What is done and what is left, in one line."""
        repetitions, starts = left
        done = f"{len(manifest.measurements)} measurements done"
        if not repetitions:
            return done
        seconds = self.left_s(repetitions, starts)
        when = "" if seconds is None else f", about {show_duration(seconds)}"
        return f"{done}; {repetitions} left on {starts} start{'' if starts == 1 else 's'}{when}"

    def _lap(self) -> float:
        now = self._now()
        lap, self._since = now - self._since, now
        return lap
