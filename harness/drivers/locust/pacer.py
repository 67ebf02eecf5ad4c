"""Calls at planned instants: sleeps until shortly before, then yields to other greenlets until the instant has come.

One pacer serves all arrivals of a worker. What is overdue is called at once, in the order of its instants; nothing is
ever left out. Instants are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import gevent
import gevent.event

WAKE_EARLY_NS = 800_000  # timers of the event loop are about half a millisecond late

Item = TypeVar("Item")


class Pacer(Generic[Item]):
    """A queue of items with their instants, handed out when due."""

    def __init__(self, take: Callable[[int, Item], None]) -> None:
        self._take = take  # called with (planned instant, item); must not wait
        self._queue: list[tuple[int, int, Item]] = []
        self._order = itertools.count()
        self._changed = gevent.event.Event()
        self._closed = False

    def add(self, due_ns: int, item: Item) -> None:
        """Plan an item."""
        heapq.heappush(self._queue, (due_ns, next(self._order), item))
        if self._queue[0][0] == due_ns:
            self._changed.set()

    @property
    def next_due_ns(self) -> int | None:
        """The next planned instant."""
        return self._queue[0][0] if self._queue else None

    def run(self) -> None:
        """Hand out items until closed."""
        clock = time.perf_counter_ns
        while not self._closed:
            left = self._queue[0][0] - clock() if self._queue else None
            if left is not None and left <= 0:
                due_ns, _, item = heapq.heappop(self._queue)
                self._take(due_ns, item)
            elif left is not None and left <= WAKE_EARLY_NS:
                gevent.sleep(0)
            else:
                self._changed.clear()
                self._changed.wait(None if left is None else (left - WAKE_EARLY_NS) / 1e9)

    def close(self, until_ns: int) -> list[tuple[int, Item]]:
        """Hand out nothing more; returns what was planned up to `until_ns`, in order."""
        self._closed = True
        self._changed.set()
        rest = [(due_ns, item) for due_ns, _, item in sorted(self._queue) if due_ns <= until_ns]
        self._queue.clear()
        return rest
