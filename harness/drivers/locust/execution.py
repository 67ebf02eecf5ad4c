"""One repetition while it runs: users take numbers, send, wait, and hand the finished request to the recorder.

Locust's users call `next_number` and `execute`; everything they share lives here.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import gevent.event

from harness.drivers.locust.phases import Phases
from harness.drivers.locust.recorder import FinishedRequest, Recorder
from harness.drivers.locust.requests import PlannedRequest
from harness.drivers.locust.transport import Call, TransportConnection, TransportPool
from harness.protocols.answer import Answer
from harness.protocols.recount import Decode

BACK_OFF_FIRST_S, BACK_OFF_MOST_S = 0.05, 1.0


class Execution:
    """The shared state of one repetition in this worker."""

    def __init__(
        self,
        requests: Sequence[PlannedRequest],
        pool: TransportPool,
        phases: Phases,
        recorder: Recorder,
        decode: Decode,
    ) -> None:
        self._requests = requests
        self._next = 0
        self._pool = pool
        self._recorder = recorder
        self._decode = decode
        self._in_flight: dict[Call, tuple[TransportConnection, int]] = {}
        self._cut_outcomes: dict[Call, tuple[str, str]] = {}
        self.phases = phases
        self.start = gevent.event.Event()  # the barrier at which users wait
        self.recent: list[FinishedRequest] = []  # since the last progress report
        self.failures_in_a_row = 0

    @property
    def in_flight(self) -> int:
        """Requests sent and not yet over."""
        return len(self._in_flight)

    @property
    def never_taken(self) -> int:
        """Planned numbers that nobody took."""
        return len(self._requests) - self._next

    def next_number(self) -> PlannedRequest | None:
        """The next request of the sequence, or None when the repetition is over."""
        now = time.perf_counter_ns()
        if not self.phases.may_send(now):
            return None
        if self._next >= len(self._requests):
            self.phases.stop(now, "max_requests")
            return None
        self._next += 1
        return self._requests[self._next - 1]

    def execute(self, planned: PlannedRequest) -> FinishedRequest:
        """Send one request and wait until it is over."""
        over = gevent.event.Event()
        call = self._pool.call(over.set, metadata=planned.metadata, streamed=planned.streamed)
        connection, intent_ns = self._pool.ready(), time.perf_counter_ns()
        reused = connection is not None
        if connection is None:
            self.phases.on_sent(intent_ns)  # a reconnect falls after the send
            try:
                connection = self._pool.reconnect()
            except OSError as error:
                answer = Answer("connect_error", str(error), time.perf_counter_ns())
                return self._finish(planned, intent_ns, False, answer)
        sent_ns = connection.send(call, planned.message)
        if reused:
            self.phases.on_sent(sent_ns)
        else:
            sent_ns = intent_ns
        self._in_flight[call] = connection, sent_ns
        finished_in_time = over.wait(max(0.0, (sent_ns + planned.timeout_ns - time.perf_counter_ns()) / 1e9))
        del self._in_flight[call]
        return self._finish(planned, sent_ns, reused, self._answer(call, connection, finished_in_time))

    def cut(self, outcome_of: Callable[[str], tuple[str, str]]) -> None:
        """End every request in flight now; `outcome_of` gives (outcome, error) for the phase of each."""
        for call, (connection, sent_ns) in list(self._in_flight.items()):
            self._cut_outcomes[call] = outcome_of(self.phases.phase(sent_ns))
            connection.cancel(call)
            call.done()

    def _answer(self, call: Call, connection: TransportConnection, finished_in_time: bool) -> Answer:
        now = time.perf_counter_ns()
        if not finished_in_time:
            connection.cancel(call)
            return self._cut_answer(call, "timeout", "no final answer within the timeout", now)
        if call in self._cut_outcomes:
            return self._cut_answer(call, *self._cut_outcomes.pop(call), now)
        try:
            return self._decode(call)
        except Exception as error:  # whatever the server sent, the run goes on and the record says so
            return Answer("bad_stream", f"cannot decode the answer: {error}", call.ended_ns or now)

    def _cut_answer(self, call: Call, outcome: str, error: str, now: int) -> Answer:
        """The answer of a call that we ended ourselves: what had arrived until then is kept."""
        call.status = 0
        call.ended_ns = now
        try:
            partial = self._decode(call)
        except Exception:
            return Answer(outcome, error, now)
        return dataclasses.replace(partial, outcome=outcome, error=error, done_ns=now)

    def _finish(self, planned: PlannedRequest, sent_ns: int, reused: bool, answer: Answer) -> FinishedRequest:
        finished = FinishedRequest(planned, sent_ns, reused, answer)
        self.phases.on_done(sent_ns)
        self._recorder.add(finished)
        self.recent.append(finished)
        self.failures_in_a_row = 0 if answer.outcome == "ok" else self.failures_in_a_row + 1
        return finished


def back_off_s(failures: int) -> float:
    """How long a user waits after its n-th failure in a row, so that a dead server is not hammered."""
    return float(min(BACK_OFF_MOST_S, BACK_OFF_FIRST_S * 2 ** min(failures - 1, 10)))
