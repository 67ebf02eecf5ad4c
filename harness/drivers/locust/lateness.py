"""How many cohort requests are beyond a limit already: what lets a search probe stop when its test is lost.

A rule of when to stop, no metric: it is never stored. A request that failed is beyond every limit; one that was cut or
cancelled on purpose counts nowhere, and neither does one that found no server: that is no matter of load.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.drivers.locust.recorder import FinishedRequest

FIRST_TOKEN, DONE = "first_token", "done"
NOT_LATE = ("cancelled", "connect_error", "not_sent")


class Lateness:
    """Counts per event. `limits_ns`: event ("first_token", "done") → nanoseconds from the request's origin."""

    def __init__(self, limits_ns: Mapping[str, int], *, open_loop: bool) -> None:
        self._limits_ns = limits_ns
        self._open_loop = open_loop
        self._late: dict[str, list[int]] = {event: [] for event in limits_ns}  # origins

    def add(self, finished: FinishedRequest) -> None:
        """Look at one request that is over."""
        origin_ns = finished.intended_ns if self._open_loop else finished.sent_ns
        if not self._limits_ns or origin_ns is None or finished.answer.outcome in NOT_LATE:
            return
        for event, limit_ns in self._limits_ns.items():
            at_ns = _instant(finished, event)
            if at_ns is None or at_ns - origin_ns > limit_ns:
                self._late[event].append(origin_ns)

    def counts(self, start_ns: int | None, end_ns: int | None) -> dict[str, int]:
        """Event → late requests whose origin lies in the window."""
        if start_ns is None:
            return {}
        return {
            event: sum(start_ns <= origin and (end_ns is None or origin < end_ns) for origin in origins)
            for event, origins in self._late.items()
        }


def _instant(finished: FinishedRequest, event: str) -> int | None:
    answer = finished.answer
    if answer.outcome != "ok":
        return None
    if event == DONE:
        return answer.done_ns
    stamps = zip(answer.chunk_stamps_ns, answer.chunk_tokens, strict=True)
    return next((stamp for stamp, tokens in stamps if tokens > 0), None)
