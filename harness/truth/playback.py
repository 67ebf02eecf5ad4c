"""One inference request being answered: plays its schedule, chunk by chunk, into its call."""

from __future__ import annotations

from typing import Protocol

from harness.truth.asked import Asked
from harness.truth.grpc import Status
from harness.truth.outgoing import Mark
from harness.truth.replies import Chunk
from harness.truth.schedule import Fate
from harness.truth.sent_log import OpenRequest, Outcome
from harness.truth.service import Service

CHUNKS_PER_TURN = 16
MOST_WAITING_BYTES = 1 << 18
RETRY_NS = 1_000_000
REJECTION = "the truth server was told to reject"


class Encoder(Protocol):
    """Encodes the responses of one request."""

    def streamed(self, chunk: Chunk) -> bytes:
        """One response of a stream."""

    def single(self, chunk: Chunk) -> bytes:
        """The only response."""


class Line(Protocol):
    """What a playback needs of the call it answers."""

    @property
    def is_stream(self) -> bool:
        """Whether responses are those of ModelStreamInfer."""

    @property
    def has_ended(self) -> bool:
        """Whether the call's end has been sent."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the peer has not taken yet."""

    def replies(self, asked: Asked) -> Encoder:
        """The encoder of this request's answer."""

    def report(self, message: str, request_id: str) -> None:
        """Send an error in place of a response."""

    def close_stream(self, asked: Asked) -> None:
        """Say what the protocol says behind the last response to this request, if it asked for it."""

    def reply(self, framed: bytes, mark: Mark | None = None) -> None:
        """Send one message."""

    def fail(self, status: Status, message: str, outcome: Outcome) -> None:
        """End the call with a status."""

    def cut(self) -> None:
        """End the call as a broken server does."""

    def mark_end(self, playback: Playback, outcome: Outcome) -> None:
        """Settle the playback when all it sent has been taken."""

    def forget(self, playback: Playback) -> None:
        """The playback is settled."""

    def end_if_done(self) -> None:
        """End the call if this was its last request."""


class Playback:
    """A request under way. `advance` is its step for the timers."""

    def __init__(self, call: Line, service: Service, asked: Asked, record: OpenRequest, complete_ns: int) -> None:
        self._call = call
        self._service = service
        self._asked = asked
        self._record = record
        self._complete_ns = complete_ns
        self._schedule = service.schedule(asked, complete_ns)
        self._replies = call.replies(asked)
        # What comes in while the server stands still begins when it goes on.
        self._origin_ns = max(complete_ns, service.frozen_until_ns) - service.shift_ns
        self._next = self._position = 0
        self._first_token_ns = 0
        self._settled = False

    @property
    def first_due_ns(self) -> int:
        """The instant of the first chunk, or of the end if there is none."""
        first = self._schedule.offsets_ns[0] if self._schedule.offsets_ns else self._schedule.end_offset_ns
        return self._origin_ns + self._service.shift_ns + first

    def advance(self, now_ns: int) -> int | None:
        """Send what is due, a few chunks at most, so that no stream holds up the others.

        It may be called too early: a stall moves the schedule, not the timers.
        """
        if self._settled or self._call.has_ended:
            return None
        if not self._next and self.first_due_ns > now_ns:
            return self.first_due_ns
        if self._call.waiting_bytes > MOST_WAITING_BYTES:
            return now_ns + RETRY_NS
        offsets_ns = self._schedule.offsets_ns
        origin_ns = self._origin_ns + self._service.shift_ns
        for _ in range(min(CHUNKS_PER_TURN, len(offsets_ns) - self._next)):
            due_ns = origin_ns + offsets_ns[self._next]
            if due_ns > now_ns:
                return due_ns
            self._send_chunk(due_ns, now_ns)
        if self._next < len(offsets_ns):
            return max(now_ns, origin_ns + offsets_ns[self._next])
        self._finish()
        return None

    def settle(self, outcome: Outcome, at_ns: int) -> None:
        """The request is over, for whatever reason comes first."""
        if self._settled:
            return
        self._settled = True
        self._call.forget(self)
        self._service.close(self._record, outcome, at_ns)

    def _send_chunk(self, due_ns: int, now_ns: int) -> None:
        tokens = self._schedule.chunk_tokens[self._next]
        if tokens and not self._position:
            self._first_token_ns = now_ns
        self._next += 1
        is_last = self._next == len(self._schedule.offsets_ns) and self._schedule.fate is Fate.COMPLETE
        chunk = Chunk(self._position, tokens, is_last, self._times(now_ns) if is_last else None)
        self._position += tokens
        self._record.built(due_ns, tokens)
        framed = self._replies.streamed(chunk) if self._call.is_stream else self._replies.single(chunk)
        self._call.reply(framed, self._record)

    def _times(self, now_ns: int) -> tuple[int, int, int, int] | None:
        """Arrival, first scheduled, first token, last token, as the server's own clock has them; on the last chunk."""
        if not self._asked.wants_times:
            return None
        return self._complete_ns, self._complete_ns, self._first_token_ns or now_ns, now_ns

    def _finish(self) -> None:
        fate = self._schedule.fate
        if fate is Fate.COMPLETE:
            if self._call.is_stream and self._asked.wants_empty_final:
                self._call.close_stream(self._asked)
            self._call.mark_end(self, Outcome.COMPLETED)
            self._call.end_if_done()
        elif fate is Fate.REJECT:
            self._record.fail(REJECTION)
            self._call.fail(Status.UNAVAILABLE, REJECTION, Outcome.REJECTED)
        elif fate is Fate.CUT:
            self._call.cut()
        else:
            self._fail()

    def _fail(self) -> None:
        message = self._service.behaviour.error_text
        self._record.fail(message)
        if self._service.behaviour.error_style == "status" or not self._call.is_stream:
            self._call.fail(Status.INTERNAL, message, Outcome.ERROR)
            return
        self._call.report(message, self._asked.request_id)
        self._call.mark_end(self, Outcome.ERROR)
        self._call.end_if_done()
