"""Warm-up, window and drain of one repetition as a worker sees them, a state machine over instants.

A request belongs to the phase in which its origin lies: the intended instant in an open loop, the send in a closed one.
A closed-loop window of N requests opens with the first and closes with the send of the N-th. When the load ends is not
decided here but in `course`.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field


@dataclass
class Phases:
    """Instants are absolute nanoseconds. Mutable: the one piece of state that all users of a worker share."""

    window_requests: int | None = None
    window_start_ns: int | None = None
    window_end_ns: int | None = None
    stopped_ns: int | None = None  # no send from then on
    ended: str = "window_over"
    taken: int = 0
    done: int = 0
    _window_sends: list[int] = field(default_factory=list)
    _open: dict[int, int] = field(default_factory=dict)  # origin -> requests that are not over

    @property
    def may_send(self) -> bool:
        """Whether another request may be sent."""
        return self.stopped_ns is None

    @property
    def cohort_open(self) -> int:
        """Cohort requests that are not over."""
        return sum(count for origin_ns, count in self._open.items() if self.phase(origin_ns) == "window")

    def open_window(self, start_ns: int, end_ns: int | None) -> None:
        """The window begins at `start_ns`, which is not yet past; without an end it closes by its requests."""
        self.window_start_ns, self.window_end_ns = start_ns, end_ns

    def on_taken(self, origin_ns: int) -> None:
        """A request was sent (closed loop), or became due (open loop)."""
        self.taken += 1
        self._open[origin_ns] = self._open.get(origin_ns, 0) + 1
        counts = self.window_requests is not None and self.window_end_ns is None
        if counts and self.phase(origin_ns) == "window":
            self._window_sends.append(origin_ns)
            if len(self._window_sends) == self.window_requests:
                self.window_end_ns = origin_ns + 1

    def on_done(self, origin_ns: int) -> None:
        """A request that was taken with this origin is over, however it ended."""
        self.done += 1
        left = self._open.pop(origin_ns, 1) - 1
        if left:
            self._open[origin_ns] = left

    def stop(self, now: int, why: str) -> None:
        """Nothing is sent any more."""
        if self.stopped_ns is None:
            self.stopped_ns, self.ended = now, why
            self.window_start_ns, self.window_end_ns = stopped_window(
                self.window_start_ns, self.window_end_ns, now, why
            )

    def phase(self, origin_ns: int) -> str:
        """The phase of a request."""
        if self.window_start_ns is None or origin_ns < self.window_start_ns:
            return "warm_up"
        return "window" if self.window_end_ns is None or origin_ns < self.window_end_ns else "drain"


def stopped_window(start_ns: int | None, end_ns: int | None, now: int, why: str) -> tuple[int | None, int | None]:
    """(start, end) of the window of a load that ends now: an open one closes here, one that has not begun never was.

    Stopped as saturated is the exception: the arrivals planned for the rest of the window belong to the cohort too.
    """
    if start_ns is None or why == "stopped_saturated":
        return start_ns, end_ns
    if start_ns >= now:
        return None, None
    return start_ns, now if end_ns is None else min(end_ns, now)


def quantile_of_lags(lags: list[int], share: float) -> int | None:
    """The smallest lag with at least `share` of the lags at or below it; None when there is none."""
    if not lags:
        return None
    ordered = sorted(lags)
    need = share * len(ordered)
    return ordered[min(len(ordered) - 1, bisect.bisect_left(range(1, len(ordered) + 1), need))]
