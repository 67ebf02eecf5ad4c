"""The phases of one closed-loop repetition as a state machine over instants: warm-up, window, drain.

Warm-up lasts its time and until enough requests are done; then the window is announced a little ahead, so that the
server's counters can be read just before it opens. A window of N requests opens with the first and closes with the send
of the N-th. Load of the same kind goes on until the cohort (requests sent in the window) is done or the drain limit
is over.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

ANNOUNCE_NS = 60_000_000  # the window opens this long after it is announced


@dataclass
class Phases:
    """Instants are absolute nanoseconds. Mutable: the one piece of state that all users of a worker share."""

    start_ns: int
    warm_up_ns: int
    warm_up_requests: int
    window_ns: int | None
    window_requests: int | None
    drain_limit_ns: int
    window_start_ns: int | None = None
    window_end_ns: int | None = None
    stopped_ns: int | None = None  # interrupted: no send from then on
    ended: str = "window_over"
    taken: int = 0
    done: int = 0
    _window_sends: list[int] = field(default_factory=list)
    _cohort_open: int = 0

    def may_send(self, now: int) -> bool:
        """Whether users may take another number."""
        return self.stopped_ns is None and not self.is_over(now)

    def on_sent(self, sent_ns: int) -> None:
        """A request was sent."""
        self.taken += 1
        if self.window_start_ns is None or sent_ns < self.window_start_ns:
            return
        if self.window_end_ns is None or sent_ns < self.window_end_ns:
            self._cohort_open += 1
            if self.window_requests is not None:
                self._window_sends.append(sent_ns)
                if len(self._window_sends) == self.window_requests:
                    self.window_end_ns = sent_ns + 1

    def on_done(self, sent_ns: int) -> None:
        """A request that was sent at `sent_ns` is over, however it ended."""
        self.done += 1
        if self.phase(sent_ns) == "window":
            self._cohort_open -= 1

    def announce(self, now: int) -> bool:
        """Announce the window if warm-up is over; True when this call did it."""
        warm = now - self.start_ns >= self.warm_up_ns and self.done >= self.warm_up_requests
        if self.window_start_ns is not None or not warm or self.stopped_ns is not None:
            return False
        self.window_start_ns = now + ANNOUNCE_NS
        if self.window_ns is not None:
            self.window_end_ns = self.window_start_ns + self.window_ns
        return True

    def window_closed(self, now: int) -> bool:
        """Whether the window lies in the past."""
        return self.window_end_ns is not None and now >= self.window_end_ns

    def is_over(self, now: int) -> bool:
        """Whether the repetition is over: the cohort is done, or the drain limit has passed."""
        if self.window_end_ns is None or now < self.window_end_ns:
            return False
        return self._cohort_open == 0 or now >= self.window_end_ns + self.drain_limit_ns

    def stop(self, now: int, why: str) -> None:
        """End early: nothing is sent any more, an open window closes here."""
        if self.stopped_ns is not None:
            return
        self.stopped_ns, self.ended = now, why
        if self.window_start_ns is not None and self.window_start_ns >= now:
            self.window_start_ns = self.window_end_ns = None
        elif self.window_start_ns is not None and (self.window_end_ns is None or self.window_end_ns > now):
            self.window_end_ns = now

    def phase(self, sent_ns: int) -> str:
        """The phase of a request, from the instant of its sending."""
        if self.window_start_ns is None or sent_ns < self.window_start_ns:
            return "warm_up"
        return "window" if self.window_end_ns is None or sent_ns < self.window_end_ns else "drain"


def quantile_of_lags(lags: list[int], share: float) -> int | None:
    """The smallest lag with at least `share` of the lags at or below it; None when there is none."""
    if not lags:
        return None
    ordered = sorted(lags)
    need = share * len(ordered)
    return ordered[min(len(ordered) - 1, bisect.bisect_left(range(1, len(ordered) + 1), need))]
