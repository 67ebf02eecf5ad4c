"""What a campaign tells the person who waits: one narrow interface, implemented by the command line and by tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.drivers.task import LiveFigures
from harness.records.manifest import Measurement, Point


class Display(Protocol):
    """Callbacks in the order in which they can come; none may raise."""

    def step(self, text: str) -> None:
        """Something that takes a while begins: making an environment, starting the server, drawing the plan."""

    def planned(self, points: Sequence[Point], repetitions: int, seconds: float) -> None:
        """The matrix is known; `repetitions` are still to be measured, in about `seconds`."""

    def repetition_started(self, point: Point, repetition: int, number: int, total: int) -> None:
        """Repetition `number` of `total` begins."""

    def figures(self, live: LiveFigures) -> None:
        """Live figures, about twice a second."""

    def repetition_finished(self, measurement: Measurement) -> None:
        """A repetition is over."""

    def remaining(self, seconds: float) -> None:
        """How long it will still take, from what it took so far."""

    def note(self, text: str) -> None:
        """Something the person should know."""


class Silent:
    """A display that shows nothing."""

    def step(self, text: str) -> None: ...

    def planned(self, points: Sequence[Point], repetitions: int, seconds: float) -> None: ...

    def repetition_started(self, point: Point, repetition: int, number: int, total: int) -> None: ...

    def figures(self, live: LiveFigures) -> None: ...

    def repetition_finished(self, measurement: Measurement) -> None: ...

    def remaining(self, seconds: float) -> None: ...

    def note(self, text: str) -> None: ...
