"""A closed loop: so many users, each living one planned session after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

import gevent
import gevent.event

from harness.drivers.locust.execution import Execution
from harness.drivers.locust.requests import Session
from harness.protocols.answer import Answer

BACK_OFF_FIRST_S, BACK_OFF_MOST_S = 0.05, 1.0


class ClosedLoop:
    """The sequence that the users of one worker share."""

    def __init__(self, sessions: Sequence[Session], execution: Execution) -> None:
        self._sessions = sessions
        self._next = 0
        self._execution = execution
        self._over = gevent.event.Event()
        self.exhausted_ns: int | None = None  # when the sequence was used up
        self.active = 0  # users that live

    def live(self) -> None:
        """One user's life, until the load ends: no wait between two sessions, think time between turns."""
        self.active += 1
        try:
            self._live()
        finally:
            self.active -= 1

    def _live(self) -> None:
        failures = 0
        while (session := self._next_session()) is not None:
            before: Answer | None = None
            for turn in session:
                planned = turn if before is None else turn.after(before)
                intended_ns = None if before is None else before.done_ns + turn.think_time_ns
                if intended_ns is not None:
                    self._sleep_until(intended_ns)
                if not self._execution.phases.may_send:
                    return
                before = self._execution.execute(planned, intended_ns).answer
                failures = 0 if before.outcome in ("ok", "cancelled") else failures + 1
                if failures:
                    self._over.wait(back_off_s(failures))

    def end(self) -> None:
        """Nothing is sent any more; users that wait are woken."""
        self._over.set()

    @property
    def waiting(self) -> int:
        """A closed loop has no queue."""
        return 0

    @property
    def overdue(self) -> int:
        """A closed loop is never late."""
        return 0

    def _next_session(self) -> Session | None:
        if not self._execution.phases.may_send:
            return None
        if self._next >= len(self._sessions):
            self.exhausted_ns = self.exhausted_ns or time.perf_counter_ns()
            return None
        self._next += 1
        return self._sessions[self._next - 1]

    def _sleep_until(self, instant_ns: int) -> None:
        while (left := instant_ns - time.perf_counter_ns()) > 0 and not self._over.is_set():
            self._over.wait(left / 1e9)


def back_off_s(failures: int) -> float:
    """How long a user waits after its n-th failure in a row, so that a dead server is not hammered."""
    return float(min(BACK_OFF_MOST_S, BACK_OFF_FIRST_S * 2 ** min(failures - 1, 10)))
