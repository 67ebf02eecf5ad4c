"""One request from its sending to its record, and all requests that are in flight in this worker.

Nothing here decides what is sent when: `closed_loop` and `open_loop` do.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import gevent.event

from harness.drivers.locust.decoding import Reading
from harness.drivers.locust.phases import Phases
from harness.drivers.locust.recorder import FinishedRequest, Recorder
from harness.drivers.locust.requests import PlannedRequest
from harness.drivers.locust.transport import Call, TransportConnection, TransportPool
from harness.protocols.answer import Answer

CANCELLED_AS_PLANNED = "cancelled as planned"


class Execution:
    """Sends requests and waits for them; `fire` gets every finished one."""

    def __init__(
        self,
        pool: TransportPool,
        phases: Phases,
        recorder: Recorder,
        fire: Callable[[FinishedRequest], None],
        reading: Reading,
        *,
        open_loop: bool,
    ) -> None:
        self._pool = pool
        self._recorder = recorder
        self._fire = fire
        self._reading = reading
        self._open_loop = open_loop
        self._in_flight: dict[Call, tuple[TransportConnection, int]] = {}
        self._cut_outcomes: dict[Call, tuple[str, str]] = {}
        self.phases = phases
        self.recent: list[FinishedRequest] = []  # since the last progress report
        self.failures_in_a_row = 0

    @property
    def in_flight(self) -> int:
        """Requests sent and not yet over."""
        return len(self._in_flight)

    def execute(self, planned: PlannedRequest, intended_ns: int | None) -> FinishedRequest:
        """Send one request and wait until it is over."""
        over = gevent.event.Event()
        after = planned.cancel_after_tokens
        watch = self._reading.until_tokens(after) if after else None
        call = self._pool.call(over.set, watch, metadata=planned.metadata, streamed=planned.streamed)
        connection, intent_ns = self._pool.ready(), time.perf_counter_ns()
        reused = connection is not None
        if connection is None:
            self._count(intent_ns)  # a reconnect falls after the send
            try:
                connection = self._pool.reconnect()
            except OSError as error:
                answer = Answer("connect_error", str(error), time.perf_counter_ns())
                return self._finish(planned, intended_ns, intent_ns, False, answer)
        sent_ns = connection.send(call, planned.message)
        if reused:
            self._count(sent_ns)
        else:
            sent_ns = intent_ns
        self._in_flight[call] = connection, intended_ns if self._open_loop and intended_ns is not None else sent_ns
        limit_ns = min(planned.timeout_ns, planned.cancel_after_ns or planned.timeout_ns)
        in_time = over.wait(max(0.0, (sent_ns + limit_ns - time.perf_counter_ns()) / 1e9))
        del self._in_flight[call]
        return self._finish(planned, intended_ns, sent_ns, reused, self._answer(planned, call, connection, in_time))

    def not_sent(self, planned: PlannedRequest, intended_ns: int, why: str) -> None:
        """Record an arrival that was due and will never be sent."""
        self._recorder.add(FinishedRequest(planned, intended_ns, None, False, Answer("not_sent", why, 0)))

    def cut(self, outcome_of: Callable[[str], tuple[str, str]]) -> None:
        """End every request in flight now; `outcome_of` gives (outcome, error) for the phase of each."""
        for call, (connection, origin_ns) in list(self._in_flight.items()):
            if call not in self._cut_outcomes:
                self._cut_outcomes[call] = outcome_of(self.phases.phase(origin_ns))
                connection.cancel(call)
                call.done()

    def _count(self, sent_ns: int) -> None:
        """A closed loop takes a number when it sends it; in an open loop it was taken when it became due."""
        if not self._open_loop:
            self.phases.on_taken(sent_ns)

    def _answer(self, planned: PlannedRequest, call: Call, connection: TransportConnection, in_time: bool) -> Answer:
        now = time.perf_counter_ns()
        if not in_time:
            connection.cancel(call)
            if planned.cancel_after_ns is not None and planned.cancel_after_ns < planned.timeout_ns:
                return self._cut_answer(call, "cancelled", CANCELLED_AS_PLANNED, now)
            return self._cut_answer(call, "timeout", "no final answer within the timeout", now)
        if call in self._cut_outcomes:
            return self._cut_answer(call, *self._cut_outcomes.pop(call), now)
        if call.stopped_by_watch:
            return self._cut_answer(call, "cancelled", CANCELLED_AS_PLANNED, call.ended_ns)
        try:
            return self._reading.decode(call)
        except Exception as error:  # whatever the server sent, the run goes on and the record says so
            return Answer("bad_stream", f"cannot decode the answer: {error}", call.ended_ns or now)

    def _cut_answer(self, call: Call, outcome: str, error: str, now: int) -> Answer:
        """The answer of a call that we ended ourselves: what had arrived until then is kept."""
        call.status = 0
        call.ended_ns = now
        try:
            partial = self._reading.decode(call)
        except Exception:
            return Answer(outcome, error, now)
        return dataclasses.replace(partial, outcome=outcome, error=error, done_ns=now)

    def _finish(
        self, planned: PlannedRequest, intended_ns: int | None, sent_ns: int, reused: bool, answer: Answer
    ) -> FinishedRequest:
        finished = FinishedRequest(planned, intended_ns, sent_ns, reused, answer)
        self.phases.on_done(intended_ns if self._open_loop and intended_ns is not None else sent_ns)
        self._recorder.add(finished)
        self.recent.append(finished)
        well = answer.outcome in ("ok", "cancelled")
        self.failures_in_a_row = 0 if well else self.failures_in_a_row + 1
        self._fire(finished)
        return finished
