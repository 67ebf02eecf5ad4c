"""An open loop: every arrival is sent at its planned instant, or as soon after it as the client can.

A later turn of a session is due when the turn before it is done and its think time is over. Under a cap on requests in
flight, arrivals wait here, first come first served; that wait is the request's own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import gevent
import gevent.pool

from harness.drivers.locust.execution import Execution
from harness.drivers.locust.pacer import Pacer
from harness.drivers.locust.requests import Session


class Arrival(NamedTuple):
    """The first of these turns of a session is due at an instant; the others follow it."""

    intended_ns: int
    turns: Session


class OpenLoop:
    """The arrivals of one worker."""

    def __init__(self, sessions: Sequence[Session], execution: Execution, start_ns: int, most: int | None) -> None:
        self._execution = execution
        self._most = most
        self._active = 0
        self._queue: deque[Arrival] = deque()
        self._greenlets = gevent.pool.Group()
        self._pacer: Pacer[Session] = Pacer(self._due)
        for session in sessions:
            self._pacer.add(start_ns + (session[0].intended_offset_ns or 0), session)

    exhausted_ns: int | None = None  # an open loop may run out of arrivals: its cohort is planned

    def live(self) -> None:
        """The life of the one user that sends on time."""
        self._pacer.run()

    @property
    def active(self) -> int:
        """Requests that are being served."""
        return self._active

    @property
    def waiting(self) -> int:
        """Arrivals that wait for room under the cap."""
        return len(self._queue)

    @property
    def overdue(self) -> int:
        """1 if an arrival of the past has not been taken yet, as after a stop of the whole process."""
        due_ns = self._pacer.next_due_ns
        return int(due_ns is not None and due_ns <= time.perf_counter_ns())

    def end(self) -> None:
        """Nothing is sent any more; what was due and not sent becomes a record."""
        phases = self._execution.phases
        until_ns = phases.stopped_ns or time.perf_counter_ns()
        if phases.ended == "stopped_saturated" and phases.window_end_ns is not None:
            until_ns = max(until_ns, phases.window_end_ns - 1)
        unsent = [*self._queue]
        self._queue.clear()
        for intended_ns, turns in self._pacer.close(until_ns):
            phases.on_taken(intended_ns)
            unsent.append(Arrival(intended_ns, turns))
        why = "due, but the load had ended" if phases.ended == "window_over" else phases.ended.replace("_", " ")
        for arrival in unsent:
            phases.on_done(arrival.intended_ns)
            self._execution.not_sent(arrival.turns[0], arrival.intended_ns, why)

    def _due(self, intended_ns: int, turns: Session) -> None:
        self._execution.phases.on_taken(intended_ns)
        arrival = Arrival(intended_ns, turns)
        if self._most is not None and self._active >= self._most:
            self._queue.append(arrival)
        else:
            self._send(arrival)

    def _send(self, arrival: Arrival) -> None:
        self._active += 1
        self._greenlets.start(gevent.Greenlet(self._serve, arrival))

    def _serve(self, arrival: Arrival) -> None:
        finished = self._execution.execute(arrival.turns[0], arrival.intended_ns)
        self._active -= 1
        if len(arrival.turns) > 1 and self._execution.phases.may_send:
            following, *rest = arrival.turns[1:]
            due_ns = finished.answer.done_ns + following.think_time_ns
            self._pacer.add(due_ns, [following.after(finished.answer), *rest])
        if self._queue and self._execution.phases.may_send:
            self._send(self._queue.popleft())
