"""One accepted socket and what is said on it: reads and writes, with a time stamp at each system call."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import Protocol

from harness.truth.outgoing import Mark
from harness.truth.sent_log import Outcome

RECEIVE_BYTES = 1 << 18
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Conversation(Protocol):
    """What is said on a connection, in one protocol. No socket, no clock.

    `alpn`: its name in TLS; `hangs_up`: the connection is to be closed now; `aborts`: with a reset.
    """

    alpn: str
    hangs_up: bool
    aborts: bool

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes or marks wait."""

    @property
    def is_over(self) -> bool:
        """Whether the connection is to be closed once all has been sent."""

    def packet(self) -> bytes | bytearray:
        """What is to be handed to the kernel next, in one call; may be empty while marks wait."""

    def passed(self, count: int) -> Sequence[Mark]:
        """The kernel took so many bytes of the packet; the marks that lay in them."""

    def receive(self, received: bytes, received_ns: int) -> None:
        """Bytes that one recv brought."""

    def abandon(self, outcome: Outcome, at_ns: int) -> None:
        """The connection is gone; requests still under way end with `outcome`."""

    def go_away(self) -> None:
        """Tell the client that the server stops."""


class Peer:
    """A client's connection. `read` and `write` never block; `is_closed` once there is nothing left to do."""

    def __init__(self, accepted: socket.socket, conversation: Conversation) -> None:
        """`accepted`: non-blocking; a TLS socket whose handshake has not begun, or a plain one."""
        self.socket = accepted
        self.is_closed = False
        self._conversation = conversation
        self._is_shaking_hands = isinstance(accepted, ssl.SSLSocket)

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes or marks wait for `write`."""
        return not self._is_shaking_hands and self._conversation.wants_to_write

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
        """Hand packets to the kernel; every mark learns the instants around the call that took the byte before it."""
        conversation = self._conversation
        while self.wants_to_write and not conversation.hangs_up:
            packet = conversation.packet()
            before_ns = time.perf_counter_ns()
            try:
                count = self.socket.send(packet) if packet else 0
            except _NOT_NOW:
                return
            except OSError:
                self.close(Outcome.DISCONNECTED)
                return
            after_ns = time.perf_counter_ns()
            for mark in conversation.passed(count):
                mark.handed(before_ns, after_ns)
        if conversation.hangs_up:
            if conversation.aborts:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close(Outcome.CUT)
        elif conversation.is_over:
            self.close(Outcome.DISCONNECTED)

    def go_away(self) -> None:
        """Tell the client, if there is time for it, that the server stops."""
        with contextlib.suppress(OSError):
            self._conversation.go_away()
            self.write()

    def close(self, outcome: Outcome) -> None:
        """Close the socket; requests still under way end with `outcome`."""
        if self.is_closed:
            return
        self.is_closed = True
        self.socket.close()
        self._conversation.abandon(outcome, time.perf_counter_ns())

    def _shake_hands(self) -> None:
        assert isinstance(self.socket, ssl.SSLSocket)
        self.socket.do_handshake()
        self._is_shaking_hands = False
        wanted = self._conversation.alpn
        # A client that names no protocol speaks HTTP/1.1.
        if (self.socket.selected_alpn_protocol() or "http/1.1") != wanted:
            self.close(Outcome.DISCONNECTED)
            raise BlockingIOError

    def _receive(self) -> None:
        received = self.socket.recv(RECEIVE_BYTES)
        received_ns = time.perf_counter_ns()
        if not received:
            self.close(Outcome.DISCONNECTED)
            return
        self._conversation.receive(received, received_ns)
