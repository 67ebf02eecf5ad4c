"""One accepted socket with its connection and its calls: reads and writes, with a time stamp at each system call."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from harness.truth import grpc
from harness.truth.calls import Call
from harness.truth.connection import BytesReceived, Connection, Event, RequestEnded, RequestStarted, StreamReset
from harness.truth.sent_log import Outcome
from harness.truth.service import Service

RECEIVE_BYTES = 1 << 18
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Peer:
    """A client's connection. `read` and `write` never block; `is_closed` once there is nothing left to do."""

    def __init__(self, service: Service, accepted: socket.socket, number: int) -> None:
        """`accepted`: non-blocking; a TLS socket whose handshake has not begun, or a plain one."""
        self.socket = accepted
        self.is_closed = False
        self._service = service
        self._number = number
        self._connection = Connection(service.behaviour.max_concurrent_streams)
        self._calls: dict[int, Call] = {}
        self._is_shaking_hands = isinstance(accepted, ssl.SSLSocket)
        self._hangs_up = False

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes or marks wait for `write`."""
        outgoing = self._connection.outgoing
        return not self._is_shaking_hands and (bool(outgoing.out) or outgoing.has_marks)

    def read(self) -> None:
        """Receive what is there; each recv gets its own time stamp."""
        try:
            if self._is_shaking_hands:
                self._shake_hands()
            self._receive()
            # What OpenSSL has decrypted already will not make the socket readable again.
            while not self.is_closed and isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                self._receive()
        except _NOT_NOW:
            return
        except OSError:
            self.close(Outcome.DISCONNECTED)

    def write(self) -> None:
        """Hand `out` to the kernel; every mark in it learns the instants around the call that took its last byte."""
        outgoing = self._connection.outgoing
        while self.wants_to_write and not self._hangs_up:
            before_ns = time.perf_counter_ns()
            try:
                count = self.socket.send(outgoing.out) if outgoing.out else 0
            except _NOT_NOW:
                return
            except OSError:
                self.close(Outcome.DISCONNECTED)
                return
            after_ns = time.perf_counter_ns()
            for mark in outgoing.passed(count):
                mark.handed(before_ns, after_ns)
        if self._hangs_up:
            self.close(Outcome.CUT)
        elif self._connection.is_over:
            self.close(Outcome.DISCONNECTED)

    def go_away(self) -> None:
        """Tell the client, if there is time for it, that the server stops."""
        with contextlib.suppress(OSError):
            self._connection.go_away()
            self.write()

    def hang_up(self) -> None:
        """Close the connection at the end of the present `write`."""
        self._hangs_up = True

    def drop(self, stream_id: int) -> None:
        """The call on this stream is over."""
        self._calls.pop(stream_id, None)

    def close(self, outcome: Outcome) -> None:
        """Close the socket; requests still under way end with `outcome`."""
        if self.is_closed:
            return
        self.is_closed = True
        self.socket.close()
        now_ns = time.perf_counter_ns()
        for call in list(self._calls.values()):
            call.abandon(outcome, now_ns)
        self._calls.clear()

    def _shake_hands(self) -> None:
        assert isinstance(self.socket, ssl.SSLSocket)
        self.socket.do_handshake()
        self._is_shaking_hands = False
        if self.socket.selected_alpn_protocol() != "h2":
            self.close(Outcome.DISCONNECTED)
            raise BlockingIOError

    def _receive(self) -> None:
        received = self.socket.recv(RECEIVE_BYTES)
        received_ns = time.perf_counter_ns()
        if not received:
            self.close(Outcome.DISCONNECTED)
            return
        for event in self._connection.receive(received):
            self._on_event(event, received_ns)
        limit = self._service.behaviour.goaway_after_streams
        if limit is not None and self._connection.streams_opened >= limit and not self._connection.is_going_away:
            self._connection.go_away()

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
        self._calls[event.stream_id] = Call(self._service, self._connection.outgoing, self, address, path, received_ns)
