"""When the window opens and when the load ends: pure decisions of the conductor from what the workers report.

Closed loop: warm-up lasts its time and until enough requests are done; then the window is announced a little ahead, so
that the server's counters can be read just before it opens. Open loop: the window is planned. Load of the same kind
goes on until the cohort is done or the drain limit is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.drivers.locust.messages import Status

ANNOUNCE_NS = 60_000_000  # the window opens this long after it is announced
LOST_AFTER_S = 8.0  # nothing but connection failures for so long: the target is gone


@dataclass
class Course:
    """The course of one repetition; instants are absolute nanoseconds."""

    start_ns: int
    warm_up_ns: int
    warm_up_requests: int
    window_ns: int | None
    drain_limit_ns: int
    stop_above_in_flight: int | None = None
    stop_above_late: int | None = None
    stopped_because: str | None = None
    window_start_ns: int | None = None
    window_end_ns: int | None = None
    announced: bool = False

    def plan_window(self, length_ns: int) -> None:
        """Open loop: the window follows the warm-up and has this length."""
        self.window_start_ns = self.start_ns + self.warm_up_ns
        self.window_end_ns = self.window_start_ns + length_ns

    def announce(self, now: int, done: int) -> bool:
        """Announce the window if its time has come; True when this call did it."""
        if self.announced:
            return False
        if self.window_start_ns is not None:
            self.announced = now >= self.window_start_ns - ANNOUNCE_NS
            return self.announced
        if now - self.start_ns < self.warm_up_ns or done < self.warm_up_requests:
            return False
        self.announced = True
        self.window_start_ns = now + ANNOUNCE_NS
        if self.window_ns is not None:
            self.window_end_ns = self.window_start_ns + self.window_ns
        return True

    def window_closed(self, now: int) -> bool:
        """Whether the window lies in the past."""
        return self.window_end_ns is not None and now >= self.window_end_ns

    @staticmethod
    def exhausted_ns(statuses: Sequence[Status]) -> int | None:
        """When the first worker had used up its part of a closed loop's sequence."""
        return min((s.exhausted_ns for s in statuses if s.exhausted_ns is not None), default=None)

    def _own_rule(self, statuses: Sequence[Status]) -> str | None:
        """Why a search probe stops by the rule in its plan."""
        in_flight = sum(status.in_flight for status in statuses)
        if self.stop_above_in_flight and in_flight > self.stop_above_in_flight:
            return f"{in_flight} requests in flight"
        for event in statuses[0].late if self.stop_above_late and statuses else ():
            late = sum(status.late.get(event, 0) for status in statuses)
            if late > (self.stop_above_late or 0):
                return f"the test was lost: {late} requests beyond the limit of their {event.replace('_', ' ')}"
        return None

    def ending(self, now: int, statuses: Sequence[Status]) -> str | None:
        """Why the load ends now; None while it goes on."""
        if any(status.sink_error for status in statuses):
            return "driver_failed"
        self.stopped_because = self._own_rule(statuses)
        if self.stopped_because is not None:
            return "stopped_saturated"
        if self.exhausted_ns(statuses) is not None:
            return "max_requests"
        if statuses and all(status.failing_s > LOST_AFTER_S for status in statuses):
            return "target_lost"
        if not self.window_closed(now):
            return None
        assert self.window_end_ns is not None
        end_ns = self.window_end_ns
        cohort_is_done = all(status.at_ns >= end_ns and status.cohort_open == 0 for status in statuses)
        return "window_over" if cohort_is_done or now >= self.window_end_ns + self.drain_limit_ns else None
