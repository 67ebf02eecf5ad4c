"""The three ports of a Triton server, probed by binding them."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

from harness.errors import TargetNotReady

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Triton's ports on the loopback interface."""

    grpc: int
    http: int
    metrics: int


@dataclass(frozen=True)
class WantedPorts:
    """Ports a person asked for; None takes a free one."""

    grpc: int | None = None
    http: int | None = None
    metrics: int | None = None


def choose(wanted: WantedPorts) -> Ports:
    """The wanted ports, free ones for the rest. Raises TargetNotReady when a wanted one is in use.

    All three are held at once while choosing, so they differ. They are free when this returns; a port that somebody
    takes before the server does shows in the server's log.
    """
    with contextlib.ExitStack() as held:
        return Ports(
            grpc=_bound(held, "grpc", wanted.grpc),
            http=_bound(held, "http", wanted.http),
            metrics=_bound(held, "metrics", wanted.metrics),
        )


def _bound(held: contextlib.ExitStack, name: str, wanted: int | None) -> int:
    probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    # As the server does it: without this, connections that ended a moment ago would still block the port.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, wanted or 0))
        probe.listen(1)
    except OSError as error:
        raise TargetNotReady(
            f"port {wanted} on {LOOPBACK}, wanted for {name}, cannot be used: {error.strerror}",
            hint=f"see who has it: ss -ltnp 'sport = :{wanted}'; or leave --{name}-port out to take a free one",
        ) from error
    return int(probe.getsockname()[1])
