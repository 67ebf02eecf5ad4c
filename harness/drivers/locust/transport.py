"""The seam between what users do and how bytes travel: what a pool, a connection and a call offer, and the one table.

A transport knows sockets and no tensors; what is said over it is a protocol (`harness.protocols.table`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from harness.drivers.locust.http_pool import HttpPool
from harness.drivers.locust.pool import Pool
from harness.drivers.task import Address
from harness.protocols.encoder import Header
from harness.protocols.http_answer import Watch
from harness.protocols.table import Transport

Call = Any
"""`grpc_frames.Call` or `http_frames.HttpCall`: `stamps`, `messages`, `status`, `ended_ns`, `lost`, `done()`."""


class TransportConnection(Protocol):
    """An open connection."""

    @property
    def dead(self) -> bool:
        """Whether it has ended."""

    def send(self, call: Call, message: bytes) -> int:
        """Start the call; returns the instant (ns) just before its first byte was handed to the socket."""

    def cancel(self, call: Call) -> None:
        """End the call on the server."""


class TransportPool(Protocol):
    """The connections of one worker."""

    def open(self, streams: int) -> None:
        """Open what so many requests at once need. Raises OSError when the server refuses."""

    def call(
        self,
        done: Callable[[], None],
        watch: Watch | None = None,
        *,
        metadata: Sequence[Header] = (),
        streamed: bool = True,
    ) -> Call:
        """A call to be sent; `metadata`: headers of this call alone."""

    def ready(self) -> TransportConnection | None:
        """An open connection with room, to be used at once; None: `reconnect` is needed."""

    def reconnect(self) -> TransportConnection:
        """A connection with room, opened if need be. Raises OSError when the server refuses."""

    def make_room(self, streams: int) -> None:
        """Open more beside a load of so many requests, where room is short."""

    def close(self) -> None:
        """Close all connections."""


POOLS: Mapping[Transport, Callable[[Address], TransportPool]] = {"http2": Pool, "http1": HttpPool}
