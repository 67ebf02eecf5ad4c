"""One gRPC connection, server side: HTTP/2 events become calls."""

from __future__ import annotations

from collections.abc import Sequence

from harness.truth import grpc
from harness.truth.calls import Call
from harness.truth.connection import BytesReceived, Connection, Event, RequestEnded, RequestStarted, StreamReset
from harness.truth.outgoing import Mark
from harness.truth.sent_log import Outcome
from harness.truth.service import Service


class GrpcConversation:
    """What is said on one connection. `hangs_up`: nothing more is to be sent or read."""

    alpn = "h2"

    def __init__(self, service: Service, number: int) -> None:
        self.hangs_up = self.aborts = False
        self._service = service
        self._number = number
        self._connection = Connection(service.behaviour.max_concurrent_streams)
        self._calls: dict[int, Call] = {}

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes or marks wait."""
        outgoing = self._connection.outgoing
        return bool(outgoing.out) or outgoing.has_marks

    @property
    def is_over(self) -> bool:
        """Whether the connection is to be closed once all has been sent."""
        return self._connection.is_over

    def packet(self) -> bytes | bytearray:
        """What is to be handed to the kernel next."""
        return self._connection.outgoing.out

    def passed(self, count: int) -> Sequence[Mark]:
        """The kernel took so many bytes of the packet."""
        return self._connection.outgoing.passed(count)

    def receive(self, received: bytes, received_ns: int) -> None:
        """Bytes that one recv brought."""
        for event in self._connection.receive(received):
            self._on_event(event, received_ns)
        limit = self._service.behaviour.goaway_after_streams
        if limit is not None and self._connection.streams_opened >= limit and not self._connection.is_going_away:
            self._connection.go_away()

    def abandon(self, outcome: Outcome, at_ns: int) -> None:
        """The connection is gone: requests still under way end with `outcome`."""
        for call in list(self._calls.values()):
            call.abandon(outcome, at_ns)
        self._calls.clear()

    def go_away(self) -> None:
        """Tell the client that the server stops."""
        self._connection.go_away()

    # ---- the host of a call

    def hang_up(self) -> None:
        """Close the connection at the end of the present write."""
        self.hangs_up = True

    def drop(self, stream_id: int) -> None:
        """The call on this stream is over."""
        self._calls.pop(stream_id, None)

    def _on_event(self, event: Event, received_ns: int) -> None:
        if isinstance(event, RequestStarted):
            self._start_call(event, received_ns)
            return
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        if isinstance(event, BytesReceived):
            call.feed(event.content, received_ns)
        elif isinstance(event, RequestEnded):
            call.close_client_half(received_ns)
        elif isinstance(event, StreamReset):
            call.abandon(Outcome.CANCELLED, received_ns)

    def _start_call(self, event: RequestStarted, received_ns: int) -> None:
        headers = event.headers
        if headers.get(":method") != "POST" or not headers.get("content-type", "").startswith("application/grpc"):
            self._connection.outgoing.send_headers(event.stream_id, grpc.not_grpc(), end=True)
            return
        address = (self._number, event.stream_id)
        path = headers.get(":path", "")
        self._calls[event.stream_id] = Call(
            self._service, self._connection.outgoing, self, address, path, received_ns, headers.get("traceparent")
        )
