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

from harness.drivers import planned
from harness.drivers.driver import Driver
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.perf_analyzer import install, refusals
from harness.drivers.perf_analyzer.driver import PerfAnalyzerDriver
from harness.drivers.task import Event, MeasurementTask
from harness.errors import UsageError
from harness.records.manifest import Point

LOCUST, PERF_ANALYZER = "locust", "perf_analyzer"
ALL = (LOCUST, PERF_ANALYZER)
LEAST = 3  # repetitions of a cross-check


def require(names: Sequence[str], processes: int) -> None:
    """Raise UsageError for a tool that is missing or cannot do it, before a target is started for it."""
    if PERF_ANALYZER not in names:
        return
    if processes > 1:
        raise UsageError(
            f"perf_analyzer is one process, and the scenario asks for {processes}",
            hint="leave load_generator out, or use driver: locust",
        )
    install.require()


def refuse(name: str, task: MeasurementTask) -> None:
    """Raise UsageError when the driver of this name cannot do the task, before anything is sent."""
    if name == PERF_ANALYZER:
        refusals.refuse(task, planned.read(task))


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
def opened(names: Sequence[str], log_path: Path, processes: int, web_ui_port: int | None) -> Iterator[Driver]:
    """The driver of these names: one, or one that gives each point to its own. The last two settings are Locust's."""
    with contextlib.ExitStack() as stack:
        drivers: dict[str, Driver] = {}
        if LOCUST in names:
            drivers[LOCUST] = stack.enter_context(LocustDriver(log_path, processes, web_ui_port))
        if PERF_ANALYZER in names:
            drivers[PERF_ANALYZER] = stack.enter_context(PerfAnalyzerDriver(log_path))
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
