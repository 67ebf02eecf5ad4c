"""The HTTP/1.1 connections of one worker: one per request in flight, kept alive, taken in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import gevent

from harness.drivers.locust.http_connection import HttpConnection
from harness.drivers.task import Address
from harness.protocols.http_answer import Watch
from harness.protocols.http_frames import HttpCall

MAX_OPENED_AHEAD = 4096


class HttpPool:
    """Hands out a connection that is free."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._all: set[HttpConnection] = set()
        self._free: deque[HttpConnection] = deque()
        self._opening = False

    def open(self, streams: int) -> None:
        """Open a connection for each of so many requests at once. Raises OSError when the server refuses."""
        while len(self._all) < min(streams, MAX_OPENED_AHEAD):
            self._free.append(self._add())

    def call(
        self, done: Callable[[], None], watch: Watch | None = None, *, metadata: object = (), streamed: bool = True
    ) -> HttpCall:
        """A call to send on one of the connections. Its headers are in the request's own bytes."""
        return HttpCall(done, watch, streamed=streamed)

    def ready(self) -> HttpConnection | None:
        """An open connection that is free (it must be used at once), or None: then `reconnect` is needed."""
        while self._free:
            connection = self._free.popleft()
            if not connection.dead:
                return connection
        return None

    def reconnect(self) -> HttpConnection:
        """A new connection. Raises OSError when the server refuses."""
        return self._add()

    def make_room(self, streams: int) -> None:
        """Open another connection beside the load when few are free, so that no request waits for one."""
        if len(self._free) < max(8, streams // 4) and len(self._all) < MAX_OPENED_AHEAD and not self._opening:
            self._opening = True
            gevent.spawn(self._add_quietly)

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._all):
            connection.close()

    def _add_quietly(self) -> None:
        try:
            self._free.append(self._add())
        except OSError:  # the next request that needs one will say so
            pass
        finally:
            self._opening = False

    def _add(self) -> HttpConnection:
        connection = HttpConnection(self._address, self._free.append, self._all.discard)
        self._all.add(connection)
        return connection
