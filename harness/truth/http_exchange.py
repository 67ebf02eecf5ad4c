"""One HTTP request and its response on a connection: the line that a `Playback` plays into. Instants are given."""

from __future__ import annotations

from typing import Protocol

from harness.truth import http_wire
from harness.truth.asked import Asked
from harness.truth.grpc import Status
from harness.truth.http_outgoing import HttpOutgoing
from harness.truth.http_replies import Api, JsonReplies, replies_for
from harness.truth.outgoing import Mark
from harness.truth.playback import Playback
from harness.truth.sent_log import OpenRequest, Outcome
from harness.truth.service import Service

_HTTP_STATUS = {Status.INVALID_ARGUMENT: 400, Status.NOT_FOUND: 404, Status.RESOURCE_EXHAUSTED: 429}


class Host(Protocol):
    """What an exchange needs of its connection."""

    def hang_up(self, *, abort: bool) -> None:
        """Close the connection once what was sent has been taken; `abort`: with a reset."""

    def next_request(self, *, keep_alive: bool) -> None:
        """The response has been sent whole."""


class Exchange:
    """Answers one inference request."""

    def __init__(
        self, service: Service, outgoing: HttpOutgoing, host: Host, asked: Asked, api: Api, instants: tuple[int, int]
    ) -> None:
        """`instants`: when the head of the request, and when its last byte, came in."""
        self._service = service
        self._outgoing = outgoing
        self._host = host
        self._streams = asked.is_streaming
        self._chunked = service.behaviour.http_chunked
        self._replies = replies_for(api, asked, service.counter, service.behaviour)
        self._head_sent = self._ended = False
        self._playback: Playback | None = None
        self._complete_ns = instants[1]

    def begin(self, asked: Asked, record: OpenRequest) -> None:
        """Start to play the request's schedule."""
        self._playback = Playback(self, self._service, asked, record, self._complete_ns)
        self._service.timers.at(self._playback.first_due_ns, self._playback.advance)

    def abandon(self, outcome: Outcome, at_ns: int) -> None:
        """The connection is gone."""
        self._ended = True
        if self._playback is not None:
            self._playback.settle(outcome, at_ns)

    # ---- the line of a playback

    def replies(self, asked: Asked) -> JsonReplies:
        """The encoder of this request's answer."""
        return self._replies

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of events."""
        return self._streams

    @property
    def has_ended(self) -> bool:
        """Whether the response is complete."""
        return self._ended

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._outgoing.waiting_bytes

    def reply(self, framed: bytes, mark: Mark | None = None) -> None:
        """Send one response: an event, or the whole body."""
        if not self._streams:
            self._head_sent = True
            head = http_wire.head(200, "application/json", f"Content-Length: {len(framed)}")
            self._outgoing.write(head + framed, mark, counted=True)
            return
        self._event(framed, mark, counted=True)

    def close_stream(self, asked: Asked) -> None:
        """Usage and the end mark, in the protocols that have them."""
        for event in self._replies.closing():
            self._event(event, None)

    def report(self, message: str, request_id: str) -> None:
        """An error: with a status of its own before the first event, as an event with status 200 after it."""
        if self._head_sent:
            self._event(self._replies.failed(message), None)
        else:
            self._refuse(500, message)

    def fail(self, status: Status, message: str, outcome: Outcome) -> None:
        """End the response with an error."""
        if self._head_sent:
            self._event(self._replies.failed(message), None)
            self._end_body()
        else:
            rejected = outcome is Outcome.REJECTED
            code = self._service.behaviour.http_reject_status if rejected else _HTTP_STATUS.get(status, 500)
            self._refuse(code, message)
        self._ended = True
        if self._playback is not None:
            self.mark_end(self._playback, outcome)
        self._host.next_request(keep_alive=self._chunked)

    def cut(self) -> None:
        """End as a broken server or proxy does; `no_trailers` ends the body in good order, but without an end mark."""
        self._begin()
        self._ended = True
        if self._playback is not None:
            self.mark_end(self._playback, Outcome.CUT)
        if self._service.behaviour.cut_style == "no_trailers":
            self._end_body()
            self._host.next_request(keep_alive=self._chunked)
        else:
            self._host.hang_up(abort=self._service.behaviour.cut_style == "reset")

    def mark_end(self, playback: Playback, outcome: Outcome) -> None:
        """Settle the request when the socket has taken all that was sent for it so far."""
        self._outgoing.write(b"", _Settlement(playback, outcome))

    def forget(self, playback: Playback) -> None:
        """The playback is settled."""

    def end_if_done(self) -> None:
        """The last event has been sent: end the body."""
        if self._ended:
            return
        self._ended = True
        if self._streams:
            self._end_body()
        self._host.next_request(keep_alive=self._chunked or not self._streams)

    def _begin(self) -> None:
        if not self._head_sent:
            self._head_sent = True
            framing = "Transfer-Encoding: chunked" if self._chunked else "Connection: close"
            self._outgoing.write(http_wire.head(200, "text/event-stream; charset=utf-8", framing))

    def _event(self, content: bytes, mark: Mark | None, *, counted: bool = False) -> None:
        self._begin()
        event = b"data: %b\n\n" % content
        self._outgoing.write(http_wire.chunk(event) if self._chunked else event, mark, counted=counted)

    def _end_body(self) -> None:
        if self._chunked and self._head_sent:
            self._outgoing.write(http_wire.LAST_CHUNK)

    def _refuse(self, status: int, message: str) -> None:
        self._head_sent, self._streams = True, False
        body = self._replies.failed(message)
        self._outgoing.write(http_wire.head(status, "application/json", f"Content-Length: {len(body)}") + body)


class _Settlement:
    """Settles a request at the instant at which its last byte was taken."""

    def __init__(self, playback: Playback, outcome: Outcome) -> None:
        self._playback = playback
        self._outcome = outcome

    def handed(self, before_ns: int, after_ns: int) -> None:
        self._playback.settle(self._outcome, after_ns)
