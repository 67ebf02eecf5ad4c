"""The connections of one worker: a few with many streams each, and more where the server's stream limit asks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import gevent
import gevent.lock

from harness.drivers.locust.connection import Connection
from harness.drivers.task import Address
from harness.protocols.encoder import Header
from harness.protocols.grpc_frames import Call, metadata_block
from harness.protocols.http_answer import Watch

STREAMS_PER_CONNECTION = 64  # beyond that, another connection: one reader then drains smaller bursts
MAX_CONNECTIONS = 256


class Pool:
    """Hands out the least busy connection that has room."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connections: list[Connection] = []
        self._lock = gevent.lock.RLock()

    def open(self, streams: int) -> None:
        """Open enough connections for so many streams at once. Raises OSError when the server refuses."""
        while self._room() < streams and len(self._connections) < MAX_CONNECTIONS:
            self._add()

    def call(
        self,
        done: Callable[[], None],
        watch: Watch | None = None,
        *,
        metadata: Sequence[Header] = (),
        streamed: bool = True,
    ) -> Call:
        """A call to send on one of the connections; `metadata`: headers of this call alone."""
        return Call(done, watch, extra_headers=metadata_block(metadata), streamed=streamed)

    def ready(self) -> Connection | None:
        """An open connection with room, or None: then `reconnect` is needed."""
        usable = [connection for connection in self._connections if not connection.dead and connection.core.has_room]
        return min(usable, key=lambda connection: len(connection.core.live)) if usable else None

    def reconnect(self) -> Connection:
        """A connection with room, opened if need be. Raises OSError when the server refuses."""
        with self._lock:
            return self.ready() or self._add()

    def make_room(self, streams: int) -> None:
        """Open another connection beside the load when the server's stream limits leave little room for more."""
        usable = [connection for connection in self._connections if not connection.dead]
        room = sum(connection.core.max_streams - len(connection.core.live) for connection in usable)
        if usable and room < max(8, streams // 4) and len(usable) < MAX_CONNECTIONS and not self._lock.locked():
            gevent.spawn(self._add_quietly)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _add(self) -> Connection:
        self._connections = [connection for connection in self._connections if not connection.dead]
        connection = Connection(self._address)
        connection.wait_settled()
        if connection.dead:
            raise ConnectionError("the server closed the connection at once: is this a gRPC port?")
        self._connections.append(connection)
        return connection

    def _add_quietly(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._add()

    def _room(self) -> int:
        open_ones = [connection for connection in self._connections if not connection.dead]
        return sum(min(connection.core.max_streams, STREAMS_PER_CONNECTION) for connection in open_ones)
