"""Ports are probed by binding them."""

from __future__ import annotations

import socket

import pytest

from harness.errors import TargetNotReady
from harness.target.ports import LOOPBACK, WantedPorts, choose


def test_free_ports_differ() -> None:
    ports = choose(WantedPorts())
    assert len({ports.grpc, ports.http, ports.metrics}) == 3


def test_a_port_in_use_is_named_with_what_it_is_for() -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(TargetNotReady, match=f"port {port} on 127.0.0.1, wanted for http") as caught:
            choose(WantedPorts(http=port))
    assert "--http-port" in (caught.value.hint or "")


def test_a_wanted_port_that_is_free_is_taken_as_it_is() -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
    assert choose(WantedPorts(grpc=port)).grpc == port


def test_the_same_port_twice_is_refused() -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
    with pytest.raises(TargetNotReady, match="wanted for http"):
        choose(WantedPorts(grpc=port, http=port))
