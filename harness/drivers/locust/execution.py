"""One request from its sending to its record, and all requests that are in flight in this worker.

Nothing here decides what is sent when: `closed_loop` and `open_loop` do.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable

import gevent
import gevent.event

from harness.drivers.locust.decoding import OVER_GRPC, Reading
from harness.drivers.locust.phases import Phases
from harness.drivers.locust.recorder import FinishedRequest
from harness.drivers.locust.requests import PlannedRequest
from harness.drivers.locust.transport import Call, TransportConnection, TransportPool
from harness.protocols.answer import Answer

SHORT = 16  # messages; below that an answer is decoded at once
PUT_OFF_MOST = 1000  # answers; beyond that the client is busy enough to fall behind for good
CANCELLED_AS_PLANNED = "cancelled as planned"


class Execution:
    """Sends requests and waits for them; `keep` gets every one that is over, decoded."""

    def __init__(
        self,
        pool: TransportPool,
        phases: Phases,
        keep: Callable[[FinishedRequest], None],
        reading: Reading = OVER_GRPC,
        *,
        open_loop: bool = False,
        puts_off_decoding: bool = False,
    ) -> None:
        self._pool = pool
        self._keep_finished = keep
        self._reading = reading
        self._open_loop = open_loop
        self._put_off_most = PUT_OFF_MOST if puts_off_decoding else 0
        self._in_flight: dict[Call, tuple[TransportConnection, int]] = {}
        self._cut_outcomes: dict[Call, tuple[str, str]] = {}
        self._undecoded: deque[tuple[Call, FinishedRequest]] = deque()
        self._something_to_decode = gevent.event.Event()
        self.phases = phases
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
        try:
            in_time = over.wait(max(0.0, (sent_ns + limit_ns - time.perf_counter_ns()) / 1e9))
        except gevent.GreenletExit:  # Locust stopped the user
            connection.cancel(call)
            stopped = self._cut_answer(call, "cancelled", "cut off: the user was stopped", time.perf_counter_ns())
            self._finish(planned, intended_ns, sent_ns, reused, stopped)
            raise
        finally:
            del self._in_flight[call]
        if in_time and self._may_be_decoded_later(planned, call):
            answer = Answer("ok", None, call.ended_ns)  # as far as the user has to know
            self._count_done(intended_ns, sent_ns)
            self._undecoded.append((call, FinishedRequest(planned, intended_ns, sent_ns, reused, answer)))
            self._something_to_decode.set()
            return self._undecoded[-1][1]
        return self._finish(planned, intended_ns, sent_ns, reused, self._answer(planned, call, connection, in_time))

    def decode_later(self) -> None:
        """Decode what was put off, one answer at a time, letting everything else go first; runs until killed."""
        while True:
            self._something_to_decode.wait()
            self._something_to_decode.clear()
            while self._undecoded:
                self._decode_next()
                gevent.sleep(0)

    def settle(self) -> None:
        """Decode everything that is still put off."""
        while self._undecoded:
            self._decode_next()

    def _decode_next(self) -> None:
        call, finished = self._undecoded.popleft()
        self._keep(dataclasses.replace(finished, answer=self._decoded(call)))

    def _may_be_decoded_later(self, planned: PlannedRequest, call: Call) -> bool:
        """A long answer that ended well, and on whose details nobody waits.

        Many requests often end at once; decoding them on the spot would delay the time stamps of all others.
        """
        if len(call.messages) <= SHORT or len(self._undecoded) >= self._put_off_most or planned.session_id is not None:
            return False
        return call.status == 0 and not call.stopped_by_watch and call not in self._cut_outcomes

    def not_sent(self, planned: PlannedRequest, intended_ns: int, why: str) -> None:
        """Record an arrival that was due and will never be sent."""
        self._keep_finished(FinishedRequest(planned, intended_ns, None, False, Answer("not_sent", why, 0)))

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
        return self._decoded(call)

    def _decoded(self, call: Call) -> Answer:
        try:
            return self._reading.decode(call)
        except Exception as error:  # whatever the server sent, the run goes on and the record says so
            return Answer("bad_stream", f"cannot decode the answer: {error}", call.ended_ns)

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
        self._count_done(intended_ns, sent_ns)
        self._keep(finished)
        return finished

    def _count_done(self, intended_ns: int | None, sent_ns: int) -> None:
        self.phases.on_done(intended_ns if self._open_loop and intended_ns is not None else sent_ns)

    def _keep(self, finished: FinishedRequest) -> None:
        well = finished.answer.outcome in ("ok", "cancelled")
        self.failures_in_a_row = 0 if well else self.failures_in_a_row + 1
        self._keep_finished(finished)
