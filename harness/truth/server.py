"""The loop: accept, read, play what is due, write; one thread, no lock.

`select` waits on the selector's own descriptor because epoll rounds its timeout up to a whole millisecond.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import select
import selectors
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from harness.truth.behaviour import Behaviour
from harness.truth.counting import counter
from harness.truth.grpc_conversation import GrpcConversation
from harness.truth.http_conversation import HttpConversation
from harness.truth.peer import Peer
from harness.truth.sent_log import Outcome, SentLog
from harness.truth.service import Service
from harness.units import NS_PER_S, from_seconds

IDLE_NS = 2_000_000
LOG_BATCH = 4
STEPS_PER_TURN = 64  # what is made is written soon, even when hundreds of streams are due together


@dataclass(frozen=True)
class _Door:
    """A listening socket and what is spoken behind it."""

    listener: socket.socket
    kind: type[GrpcConversation] | type[HttpConversation]
    tls: ssl.SSLContext | None


def _tls(files: tuple[Path, Path] | None, alpn: str) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    context.set_alpn_protocols([alpn])
    return context


class TruthServer:
    """Listens from the moment it is made; `run` serves until `stop` is called (from a signal or another thread)."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log_path: Path | None = None,
        tokenizer: Path | None = None,
        tls: tuple[Path, Path] | None = None,
        http_port: int = 0,
        stops_with: int | None = None,
    ) -> None:
        """Ports of 0 are free ones. `tls`: certificate and key. `stops_with`: its end of file stops the server."""
        self.log = SentLog(log_path)
        self._service = Service(behaviour, counter(tokenizer), self.log)
        self._doors = {
            kind: _Door(socket.create_server((host, number), backlog=1024), kind, _tls(tls, kind.alpn))
            for kind, number in ((GrpcConversation, port), (HttpConversation, http_port))
        }
        self._peers: dict[int, Peer] = {}
        self._numbers = itertools.count()
        self._stopping = False
        self._wake_out, self._wake_in = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for door in self._doors.values():
            door.listener.setblocking(False)
            self._selector.register(door.listener, selectors.EVENT_READ, door)
        for stopper in (self._wake_in, stops_with):
            if stopper is not None:
                self._selector.register(stopper, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        """The port on which it speaks gRPC."""
        return int(self._doors[GrpcConversation].listener.getsockname()[1])

    @property
    def http_port(self) -> int:
        """The port on which it speaks HTTP/1.1."""
        return int(self._doors[HttpConversation].listener.getsockname()[1])

    def stop(self) -> None:
        """Make `run` end; safe in a signal handler, from another thread, and when it has ended already."""
        with contextlib.suppress(OSError):
            self._wake_out.send(b"\0")

    def run(self) -> None:
        """Serve until stopped; then say GOAWAY, close everything, complete the log."""
        try:
            while not self._stopping:
                self._wait()
                for key, _ in self._selector.select(0):
                    self._on_ready(key)
                self._turn()
        finally:
            self._close()

    def _wait(self) -> None:
        """Until something can be read or written, or the next step is due; the log is written in the idle time."""
        waits_ns = self._idle_ns()
        if (waits_ns is None or waits_ns > IDLE_NS) and self.log.write(LOG_BATCH):
            return
        waits_ns = self._idle_ns()
        timeout = None if waits_ns is None else max(waits_ns, 0) / NS_PER_S
        select.select([self._selector], [], [], timeout)

    def _idle_ns(self) -> int | None:
        """Time until the next step; None if there is none."""
        now_ns, due_ns = time.perf_counter_ns(), self._service.timers.next_due_ns
        if self._service.frozen_until_ns > now_ns:
            return self._service.frozen_until_ns - now_ns
        return None if due_ns is None else due_ns - now_ns

    def _on_ready(self, key: selectors.SelectorKey) -> None:
        if isinstance(key.data, _Door):
            self._accept(key.data)
        elif (peer := self._peers.get(key.fd)) is not None:
            peer.read()
            if peer.is_closed:
                self._forget(key.fd)
        else:
            self._stopping = True  # `stop` was called, or the descriptor that we stop with has ended

    def _accept(self, door: _Door) -> None:
        try:
            accepted, _ = door.listener.accept()
        except OSError:  # the client gave up already
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self._service.behaviour.tcp_nodelay)
        if door.tls is not None:
            accepted = door.tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        peer = Peer(accepted, door.kind(self._service, next(self._numbers)))
        delay_ns = from_seconds(self._service.behaviour.slow_accept_s)
        if delay_ns:
            self._service.timers.at(time.perf_counter_ns() + delay_ns, lambda _: self._admit(peer))
        else:
            self._admit(peer)

    def _admit(self, peer: Peer) -> None:
        self._peers[peer.socket.fileno()] = peer
        self._selector.register(peer.socket, selectors.EVENT_READ)

    def _turn(self) -> None:
        """Play what is due and write it; nothing of both while the server is stalled."""
        if not self._is_frozen():
            self._service.timers.run_due(time.perf_counter_ns(), STEPS_PER_TURN)
        frozen = self._is_frozen()
        for descriptor, peer in list(self._peers.items()):
            if peer.wants_to_write and not frozen:
                peer.write()
            if peer.is_closed:
                self._forget(descriptor)
            else:
                self._watch(descriptor, peer.wants_to_write and not frozen)

    def _is_frozen(self) -> bool:
        return time.perf_counter_ns() < self._service.frozen_until_ns

    def _watch(self, descriptor: int, for_writing: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if for_writing else 0)
        if self._selector.get_key(descriptor).events != events:
            self._selector.modify(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        del self._peers[descriptor]
        if not self._peers and not gc.isenabled():
            gc.collect()  # the process runs without it, to have no pause while it paces

    def _close(self) -> None:
        for peer in self._peers.values():
            peer.go_away()
            peer.close(Outcome.UNFINISHED)
        self._selector.close()
        listeners = (door.listener for door in self._doors.values())
        for opened in (*listeners, self._wake_in, self._wake_out):
            opened.close()
        self.log.close()
