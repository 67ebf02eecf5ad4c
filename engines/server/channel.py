"""A model's end of the engine's socket: submit, cancel, and a thread that hands every answer to its receiver.

The reader thread also pays the credit: `receiver.advance` returns when the response has left through Triton, and only
when all rows of a step have been handed on does the engine hear of it. When the connection ends, for whatever reason,
every waiting receiver is failed with the cause, and every later `submit` raises it.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from generation import GenerationRequest
from wire import Frames, Message, encode

RECEIVE_BYTES = 1 << 18
CONNECT_POLL_S = 0.02
LOST = "the connection to it was lost"


class EngineGone(Exception):
    """The engine process has ended or cannot be reached; the text says why."""


class Receiver(Protocol):
    """Where the answers to one submitted request go. Both methods are called from the reader thread."""

    def advance(self, row: Message) -> None:
        """The tokens of one step; the last row has `finish` or `error`."""

    def fail(self, message: str) -> None:
        """No answer will come any more."""


def failure_note(socket_path: str) -> Path:
    """The file in which an engine process that fails leaves the cause, for those that come too late to hear it."""
    return Path(socket_path + ".failed")


class EngineChannel:
    """One connection. `facts` is what the engine said of itself; `explain` may replace a bare loss by its cause."""

    def __init__(
        self,
        connection: socket.socket,
        model: str,
        on_statistics: Callable[[Message], None] | None = None,
        explain: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._on_statistics = on_statistics
        self._explain = explain
        self._frames = Frames()
        self._lock = threading.Lock()  # guards _receivers, _cause and the order of bytes on the socket
        self._receivers: dict[int, Receiver] = {}
        self._numbers = itertools.count()
        self._cause: str | None = None
        self._early: list[Message] = []
        self._write({"type": "hello", "model": model})
        try:
            self.facts = self._await_ready()
        except BaseException:
            connection.close()
            raise
        self._thread = threading.Thread(target=self._read, name="engine-reader", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, receiver: Receiver) -> int:
        """Raises EngineGone. The number is what `cancel` wants."""
        with self._lock:
            if self._cause is not None:
                raise EngineGone(self._cause)
            number = next(self._numbers)
            self._receivers[number] = receiver
            self._write({"type": "add", "id": number, "request": request.as_message()})
        return number

    def cancel(self, number: int) -> None:
        """The receiver gets its last row with finish `cancelled`, unless it has ended already."""
        with self._lock:
            if self._cause is None and number in self._receivers:
                self._write({"type": "cancel", "id": number})

    def close(self, *, shutdown: bool) -> None:
        """Hang up; with `shutdown` (the owner) the engine process ends."""
        with self._lock:
            if shutdown and self._cause is None:
                self._write({"type": "shutdown"})
            self._cause = self._cause or "The model is being unloaded."
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=2)
        self._connection.close()

    @property
    def cause(self) -> str | None:
        """Why this channel is of no use any more; None while it is."""
        return self._cause

    def _write(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # the reader sees the end and fails everyone: one place decides
            self._connection.sendall(encode(message))

    def _receive(self) -> list[Message]:
        """Raises EngineGone at the end of the connection."""
        try:
            received = self._connection.recv(RECEIVE_BYTES)
        except OSError:
            received = b""
        if not received:
            raise EngineGone(_gone(self._explain() or LOST))
        return self._frames.feed(received)

    def _await_ready(self) -> Message:
        while True:
            messages = self._receive()
            for index, message in enumerate(messages):
                if message["type"] == "dead":
                    raise EngineGone(message["message"])
                if message["type"] == "ready":
                    self._early = messages[index + 1 :]
                    return message

    def _read(self) -> None:
        try:
            for message in self._early:
                self._handle(message)
            while True:
                for message in self._receive():
                    self._handle(message)
        except EngineGone as gone:
            self._fail_all(str(gone))
        except Exception as problem:
            self._fail_all(_gone(f"its answer could not be handed on: {type(problem).__name__}: {problem}"))

    def _handle(self, message: Message) -> None:
        kind = message["type"]
        if kind == "step":
            for row in message["rows"]:
                self._advance(row)
            if message["step"] is not None:
                with self._lock:
                    self._write({"type": "credit", "step": message["step"]})
        elif kind == "refused":
            receiver = self._take(message["id"])
            if receiver is not None:
                receiver.fail(message["message"])
        elif kind == "statistics" and self._on_statistics is not None:
            self._on_statistics(message)
        elif kind == "dead":
            raise EngineGone(_gone(message["message"]))

    def _advance(self, row: Message) -> None:
        is_last = row["finish"] is not None or "error" in row
        receiver = self._take(row["id"]) if is_last else self._receivers.get(row["id"])
        if receiver is not None:
            receiver.advance(row)

    def _take(self, number: int) -> Receiver | None:
        with self._lock:
            return self._receivers.pop(number, None)

    def _fail_all(self, cause: str) -> None:
        with self._lock:
            self._cause = self._cause or cause
            receivers, self._receivers = list(self._receivers.values()), {}
        for receiver in receivers:
            receiver.fail(self._cause)


def _gone(cause: str) -> str:
    return f"The engine process has ended: {cause}"


def open_channel(
    path: str, timeout_s: float, model: str, still_hopeful: Callable[[], None] = lambda: None, **more: Any
) -> EngineChannel:
    """Connect and greet. Raises EngineGone, with the cause from the failure note if the process left one."""
    try:
        return EngineChannel(connect(path, timeout_s, still_hopeful), model, **more)
    except EngineGone:
        if failure_note(path).exists():  # the process may have failed between our connecting and its hearing us
            raise EngineGone(failure_note(path).read_text()) from None
        raise


def connect(path: str, timeout_s: float, still_hopeful: Callable[[], None] = lambda: None) -> socket.socket:
    """A connection to the engine's socket, waiting for it to appear. `still_hopeful` raises when waiting is in vain.

    Raises EngineGone, with the failure note if there is one.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
            return connection
        except OSError as problem:
            connection.close()
            if failure_note(path).exists():
                raise EngineGone(failure_note(path).read_text()) from None
            still_hopeful()
            if time.monotonic() > end_s:
                raise EngineGone(f"no engine process on {path}: {problem.strerror}") from None
            time.sleep(CONNECT_POLL_S)
