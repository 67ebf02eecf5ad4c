"""One HTTP/1.1 connection on a gevent socket, plain or TLS, that drives an `HttpCore`: one call at a time, kept alive.

As in `connection.py`, one reader greenlet takes one time stamp per `recv`, before anything is looked at. A call can
only be cancelled by closing its connection.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import gevent
import gevent.socket

from harness.drivers.locust.sockets import HTTP_1_1, open_socket
from harness.drivers.task import Address
from harness.protocols.http_frames import HttpCall, HttpCore

RECEIVE_BYTES = 262_144

# A server that leaves Nagle's algorithm on, as Triton's HTTP endpoint does, holds the next event back until the last
# one is acknowledged, and Linux delays acknowledgements by 40 ms once a connection looks interactive. Asking for prompt
# ones lasts for about 16 packets.
ACKNOWLEDGE_EVERY = 8
_QUICK_ACK: int | None = getattr(gevent.socket, "TCP_QUICKACK", None)  # Linux only


class HttpConnection:
    """An open connection. Raises OSError when it cannot be opened; afterwards failures only end the call in flight.

    `free` is called with the connection each time it can take another call, `gone` once when it is dead.
    """

    def __init__(
        self,
        address: Address,
        free: Callable[[HttpConnection], None],
        gone: Callable[[HttpConnection], None],
    ) -> None:
        self._socket = open_socket(address, HTTP_1_1)
        self._free = free
        self._gone = gone
        self.core = HttpCore()
        self.dead = False
        self._reader = gevent.spawn(self._read)

    def send(self, call: HttpCall, message: bytes) -> int:
        """Start the call; returns the instant (ns) just before its first byte was handed to the socket."""
        data = self.core.start(call, message)
        sent = time.perf_counter_ns()
        try:
            self._socket.sendall(data)
            self._acknowledge_promptly()  # sending ends the prompt mode: it must come after
        except OSError as error:  # never raised into a user: the call ends
            self._fail(str(error))
        return sent

    def cancel(self, call: HttpCall) -> None:
        """End the call by closing the connection."""
        if self.core.cancel(call):
            self._fail("cancelled by the load generator")

    def close(self) -> None:
        """Close the socket; a call in flight ends."""
        self._fail("closed by the load generator")

    def _read(self) -> None:
        core, receive, feed, stamp = self.core, self._socket.recv, self.core.feed, time.perf_counter_ns
        why, received = "connection closed by the server", 0
        try:
            while data := receive(RECEIVE_BYTES):
                now, call = stamp(), core.call
                feed(data, now)
                received += 1
                if received % ACKNOWLEDGE_EVERY == 0:
                    self._acknowledge_promptly()
                if core.call is None:
                    if core.must_close:
                        break
                    if call is not None:
                        self._free(self)
        except OSError as error:
            why = str(error)
        except Exception as error:  # a peer that does not speak HTTP/1.1 correctly
            why = f"protocol error: {error}"
        self._fail(why)

    def _acknowledge_promptly(self) -> None:
        if _QUICK_ACK is not None and not self.dead:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(gevent.socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def _fail(self, why: str) -> None:
        if self.dead:
            return
        self.dead = True
        self._socket.close()
        self.core.lost(time.perf_counter_ns(), why)
        self._gone(self)
