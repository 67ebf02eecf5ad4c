"""How long a sweep will take: an estimate before it begins, and a better one from what it took so far. Seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.plan.estimate import estimate
from harness.records.manifest import Manifest, Point
from harness.scenario.schema import Scenario
from harness.units import show_duration

ASSUMED_START_S = 8.0  # of a small engine that was built before; large ones load for minutes


class Pace:
    """Counts starts and repetitions, and what they took."""

    def __init__(self) -> None:
        self._starts, self._start_s = 0, 0.0
        self._repetitions, self._repetition_s = 0, 0.0
        self._since = time.monotonic()

    @staticmethod
    def beforehand_s(scenario: Scenario, points: Sequence[Point], starts: int) -> float:
        """The whole sweep, before anything is known."""
        return estimate(scenario, list(points)).total_s + starts * ASSUMED_START_S

    def starting(self) -> None:
        """A deployment is being started."""
        self._since = time.monotonic()

    def started(self) -> None:
        """The deployment is ready."""
        self._starts, self._start_s = self._starts + 1, self._start_s + self._lap()

    def measured(self) -> None:
        """A repetition is over."""
        self._repetitions, self._repetition_s = self._repetitions + 1, self._repetition_s + self._lap()

    def describe(self, manifest: Manifest, left: tuple[int, int]) -> str:
        """What is done and what is left, in one line."""
        repetitions, starts = left
        done = f"{len(manifest.measurements)} measurements done"
        if not repetitions:
            return done
        each = self._repetition_s / self._repetitions if self._repetitions else None
        start = self._start_s / self._starts if self._starts else ASSUMED_START_S
        when = "" if each is None else f", about {show_duration(repetitions * each + starts * start)}"
        return f"{done}; {repetitions} left on {starts} starts{when}"

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self._since = now - self._since, now
        return lap
