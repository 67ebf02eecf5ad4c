"""The engine process's end of its sockets: the listening one, and a `Peer` per connected model, with its credit.

Nothing here blocks but `receive`, and that for no longer than it was told. What a peer does not read is kept for it
up to a limit; a peer beyond the limit, or one that breaks the framing, is lost like one that hung up.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time

from wire import BrokenFrame, Frames, Message, encode

CREDIT_WINDOW_STEPS = 1  # so many steps may be without their credit before the next one has to wait
CREDIT_PATIENCE_S = 0.5  # a step waits no longer than this for a credit,
LATE_PATIENCE_S = 0.02  # and the next ones no longer than this, until the model has caught up
LARGEST_BACKLOG_BYTES = 64 * 1024 * 1024
RECEIVE_BYTES = 1 << 18
FAREWELL_S = 1.0


class Peer:
    """One connected model."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.name = "?"
        self.lost = False
        self._frames = Frames()
        self._backlog = bytearray()
        self._sent_step = 0
        self._credited_step = 0
        self._sent_at_s = 0.0
        self._is_late = False

    def fileno(self) -> int:
        return self.connection.fileno()

    def receive(self) -> list[Message]:
        try:
            received = self.connection.recv(RECEIVE_BYTES)
            if received:
                return self._frames.feed(received)
        except BlockingIOError:
            return []
        except (OSError, BrokenFrame):
            pass
        self.lost = True
        return []

    def send(self, message: Message) -> None:
        self._backlog += encode(message)
        self.flush()

    def flush(self) -> None:
        try:
            while self._backlog and not self.lost:
                del self._backlog[: self.connection.send(self._backlog)]
        except BlockingIOError:
            self.lost = len(self._backlog) > LARGEST_BACKLOG_BYTES
        except OSError:
            self.lost = True

    @property
    def wants_to_send(self) -> bool:
        return bool(self._backlog)

    def send_step(self, rows: list[Message]) -> None:
        """The tokens of one step; they are owed a credit."""
        self._sent_step += 1
        self._sent_at_s = time.monotonic()
        self.send({"type": "step", "step": self._sent_step, "rows": rows})

    def credit(self, step: int) -> None:
        self._credited_step = max(self._credited_step, step)
        self._is_late = self._is_late and self._credited_step < self._sent_step

    def credit_wait_s(self, now_s: float) -> float:
        """How long the next step may still wait for this peer; 0: not at all."""
        if self.lost or self._sent_step - self._credited_step < CREDIT_WINDOW_STEPS:
            return 0.0
        left_s = self._sent_at_s + (LATE_PATIENCE_S if self._is_late else CREDIT_PATIENCE_S) - now_s
        self._is_late |= left_s <= 0
        return max(0.0, left_s)


class Peers:
    """All connections. The `owner` is the model that started this process: when it leaves, the process ends."""

    def __init__(self, path: str, owner: str) -> None:
        self.owner_left = False
        self._owner = owner
        self._path = path
        self._peers: list[Peer] = []
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def receive(self, wait_s: float) -> list[tuple[Peer, Message]]:
        """Everything that has arrived, after waiting at most `wait_s` for the first of it."""
        self._watch_backlogs()
        arrived: list[tuple[Peer, Message]] = []
        for key, events in self._selector.select(wait_s):
            if key.fileobj is self._listener:
                self._welcome()
                continue
            peer = key.fileobj
            assert isinstance(peer, Peer)
            if events & selectors.EVENT_WRITE:
                peer.flush()
            if events & selectors.EVENT_READ:
                arrived += [(peer, message) for message in peer.receive()]
        self.owner_left |= any(peer.name == self._owner and message["type"] == "shutdown" for peer, message in arrived)
        return arrived

    def take_lost(self) -> list[Peer]:
        """The peers that have gone since the last call; they are closed."""
        gone = [peer for peer in self._peers if peer.lost]
        for peer in gone:
            self._peers.remove(peer)
            self._selector.unregister(peer)
            peer.connection.close()
            self.owner_left |= peer.name == self._owner
        return gone

    def credit_wait_s(self) -> float:
        now_s = time.monotonic()
        return max((peer.credit_wait_s(now_s) for peer in self._peers), default=0.0)

    def tell_owner(self, message: Message) -> None:
        for peer in self._peers:
            if peer.name == self._owner:
                peer.send(message)

    def farewell(self, cause: str) -> None:
        """Tell every peer, also those that have not been accepted yet, why this process ends; bounded."""
        end_s = time.monotonic() + FAREWELL_S
        self._welcome()
        for peer in self._peers:
            peer.send({"type": "dead", "message": cause})
        while any(p.wants_to_send and not p.lost for p in self._peers) and time.monotonic() < end_s:
            self.receive(0.05)

    def close(self) -> None:
        for peer in self._peers:
            peer.connection.close()
        self._listener.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _welcome(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                peer = Peer(connection)
                self._peers.append(peer)
                self._selector.register(peer, selectors.EVENT_READ)

    def _watch_backlogs(self) -> None:
        for peer in self._peers:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.wants_to_send else 0)
            if self._selector.get_key(peer).events != events:
                self._selector.modify(peer, events)


def _listen(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(16)
    return listener
