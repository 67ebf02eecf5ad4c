"""Which driver measures a point: the one of the scenario, or in a cross-check each in turn.

In a cross-check every point stands twice, its id ending in the driver's name: the two share lengths and order, and
never prompt tokens, so that neither finds the cache the other one filled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.drivers.driver import Driver
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.perf_analyzer import install
from harness.drivers.perf_analyzer.driver import PerfAnalyzerDriver
from harness.drivers.task import Event, MeasurementTask
from harness.records.manifest import Point

LOCUST, PERF_ANALYZER = "locust", "perf_analyzer"
ALL = (LOCUST, PERF_ANALYZER)
LEAST = 3  # repetitions of a cross-check

Opener = Callable[[Path], contextlib.AbstractContextManager[Driver]]
DRIVERS: Mapping[str, Opener] = {LOCUST: LocustDriver, PERF_ANALYZER: PerfAnalyzerDriver}


def require(names: Sequence[str]) -> None:
    """Raise UsageError when a driver's tool is missing, before a target is started for it."""
    if PERF_ANALYZER in names:
        install.require()


def once_with_each(points: Sequence[Point]) -> list[Point]:
    """Every point once for each driver, in at least three repetitions: a server drifts, and that is no difference."""
    return [
        dataclasses.replace(point, point_id=f"{point.point_id}-{name}", repetitions=max(LEAST, point.repetitions))
        for point in points
        for name in ALL
    ]


def driver_of(point_id: str) -> str:
    """The driver of a point of a cross-check."""
    return next(name for name in ALL if point_id.endswith(f"-{name}"))


@contextlib.contextmanager
def opened(names: Sequence[str], log_path: Path) -> Iterator[Driver]:
    """The driver of these names: one, or one that gives each point to its own."""
    with contextlib.ExitStack() as stack:
        drivers = {name: stack.enter_context(DRIVERS[name](log_path)) for name in names}
        yield _ByPoint(drivers) if len(drivers) > 1 else drivers[names[0]]


class _ByPoint:
    """Passes each task to the driver its point names."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers

    @property
    def pid(self) -> int:
        """The process all drivers descend from."""
        return os.getpid()

    def stop(self) -> None:
        """Stop whichever measures."""
        for driver in self._drivers.values():
            driver.stop()

    def measure(self, task: MeasurementTask, idle: Callable[[], None]) -> Iterator[Event]:
        """As the driver of the task's point."""
        return self._drivers[driver_of(task.point_id)].measure(task, idle)
