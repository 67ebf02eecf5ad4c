"""What every driver offers to the campaigns: the seam, so that `measure` need not know which tool sends the load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from harness.drivers.task import Event, MeasurementTask


class Driver(Protocol):
    """A context manager around one load generator."""

    @property
    def pid(self) -> int:
        """The process that generates the load, or the nearest ancestor of it that lives through the run."""

    def stop(self) -> None:
        """Ask for an early end of the measurement; `measure` goes on until the driver has finished it."""

    def measure(self, task: MeasurementTask, idle: Callable[[], None]) -> Iterator[Event]:
        """Execute one task; yields its events, the last one FINISHED or FAILED.

        `idle` is called several times a second. Raises DriverFailed when the load generator dies.
        """
