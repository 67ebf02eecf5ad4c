"""One HTTP/2 connection on a gevent socket, plain or TLS, that drives a `FrameCore`.

One reader greenlet per connection takes one time stamp per `recv`, before anything is looked at. Writes go straight to
the socket; while one is blocked half way, later ones queue behind it: two greenlets never interleave their frames.
"""

from __future__ import annotations

import time

import gevent

from harness.drivers.locust.sockets import H2, open_socket
from harness.drivers.task import Address
from harness.protocols.grpc_frames import Call, FrameCore, header_block
from harness.protocols.triton_grpc import PATH

RECEIVE_BYTES = 262_144


class Connection:
    """An open connection. Raises OSError when it cannot be opened; afterwards failures only end the calls in flight."""

    def __init__(self, address: Address) -> None:
        self._socket = open_socket(address, H2)
        authority = f"{address.host}:{address.port}"
        metadata = sorted((name.lower(), value) for name, value in address.headers.items())
        self.core = FrameCore(header_block(PATH, authority, secure=address.tls is not None, metadata=metadata))
        self.dead = False
        self._pending: list[bytes] = []
        self._writing = False
        self._write(self.core.hello())
        self._reader = gevent.spawn(self._read)

    def wait_settled(self, timeout_s: float = 2.0) -> None:
        """Wait for the peer's SETTINGS, which say how many streams it allows."""
        deadline = time.monotonic() + timeout_s
        while not self.core.settled and not self.dead and time.monotonic() < deadline:
            gevent.sleep(0.002)

    def send(self, call: Call, message: bytes) -> int:
        """Start the call; returns the instant (ns) just before its first byte was handed to the socket."""
        data = self.core.start(call, message)
        sent = time.perf_counter_ns()
        self._write(data)
        return sent

    def cancel(self, call: Call) -> None:
        """Reset the call's stream."""
        data = self.core.cancel(call)
        if data and not self.dead:
            self._write(data)

    def close(self) -> None:
        """Close the socket; calls in flight end."""
        self._fail("closed by the load generator")

    def _write(self, data: bytes) -> None:
        if self._writing:
            self._pending.append(data)
            return
        self._writing = True
        try:
            self._socket.sendall(data)
            while self._pending:
                data = b"".join(self._pending)
                self._pending.clear()
                self._socket.sendall(data)
        except OSError as error:  # never raised into a user: the calls in flight end with UNAVAILABLE
            self._fail(str(error))
        finally:
            self._writing = False

    def _read(self) -> None:
        receive, feed, stamp = self._socket.recv, self.core.feed, time.perf_counter_ns
        why = "connection closed by the server"
        try:
            while data := receive(RECEIVE_BYTES):
                answer = feed(data, stamp())
                if answer:
                    self._write(answer)
        except OSError as error:
            why = str(error)
        except Exception as error:  # a peer that does not speak HTTP/2 correctly
            why = f"protocol error: {error!r}"
        self._fail(why)

    def _fail(self, why: str) -> None:
        if self.dead:
            return
        self.dead = True
        self._socket.close()
        self.core.lost(time.perf_counter_ns(), why)
