"""What is due when: a heap of callbacks on the run's clock (nanoseconds). It neither sleeps nor reads a clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Step = Callable[[int], int | None]
"""Called with the present instant; the next instant at which it wants to be called, or None when it is over."""


class Timers:
    """Steps by due instant; equal instants in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Step]] = []
        self._order = itertools.count()

    @property
    def next_due_ns(self) -> int | None:
        """The earliest due instant."""
        return self._heap[0][0] if self._heap else None

    def at(self, due_ns: int, step: Step) -> None:
        """Call `step` once `due_ns` has come."""
        heapq.heappush(self._heap, (due_ns, next(self._order), step))

    def run_due(self, now_ns: int, limit: int) -> None:
        """Call up to `limit` steps that are due, each once; one that wants to go on waits for the next `run_due`."""
        again: list[tuple[int | None, Step]] = []
        while self._heap and self._heap[0][0] <= now_ns and len(again) < limit:
            step = heapq.heappop(self._heap)[2]
            again.append((step(now_ns), step))
        for due_ns, step in again:
            if due_ns is not None:
                self.at(due_ns, step)
