"""The log: what was sent for every inference request, and when, as JSON lines. Instants: CLOCK_MONOTONIC nanoseconds.

A chunk has two instants: `chunk_sent_ns`, just before the system call that took its last byte, and `chunk_taken_ns`,
just after that call returned. No client can have seen the whole chunk before the first of them.
"""

from __future__ import annotations

import enum
import json
from array import array
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from harness.errors import UsageError


class Outcome(enum.StrEnum):
    """How a request ended, seen from the server."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"  # RST_STREAM from the client
    DISCONNECTED = "disconnected"  # the client closed the connection
    REJECTED = "rejected"
    ERROR = "error"
    CUT = "cut"
    UNFINISHED = "unfinished"  # the server was stopped


@dataclass(frozen=True)
class SentRequest:
    """One request as the server saw it.

    `arrival_ns`: the recv that completed its HEADERS (for a later request on the same stream: that brought its first
    byte). `request_complete_ns`: the recv that brought its last byte; the schedule counts from there. The four chunk
    sequences are as long as the chunks really handed over. `ended_ns`: the server's last byte taken by the socket, or
    the client's cancel read.
    """

    request_id: str
    model: str
    connection: int
    stream_id: int
    arrival_ns: int
    request_complete_ns: int
    input_tokens: int
    output_tokens_asked: int
    chunk_due_ns: tuple[int, ...]
    chunk_sent_ns: tuple[int, ...]
    chunk_taken_ns: tuple[int, ...]
    chunk_tokens: tuple[int, ...]
    ended_ns: int
    outcome: Outcome
    error: str | None
    traceparent: str | None = None

    @property
    def output_tokens(self) -> int:
        """Tokens in the chunks that were handed over."""
        return sum(self.chunk_tokens)

    @property
    def first_token_sent_ns(self) -> int | None:
        """`chunk_sent_ns` of the first chunk with a token in it; None if none was sent."""
        sent = zip(self.chunk_sent_ns, self.chunk_tokens, strict=True)
        return next((instant for instant, tokens in sent if tokens), None)


class OpenRequest:
    """The record of a request that is still being answered; compact, because thousands are open at once."""

    __slots__ = ("_due_ns", "_error", "_fields", "_sent_ns", "_taken_ns", "_tokens")

    def __init__(self, **fields: object) -> None:
        """`fields`: those of SentRequest that are known when the request is complete."""
        self._fields = fields
        self._sent_ns, self._taken_ns = array("q"), array("q")
        self._error: str | None = None
        self._due_ns, self._tokens = array("q"), array("q")

    def note_headers(self, traceparent: str | None) -> None:
        """Keep the trace context that the request came with."""
        self._fields["traceparent"] = traceparent

    def built(self, due_ns: int, tokens: int) -> None:
        """The next chunk was made; it counts once it is handed over."""
        self._due_ns.append(due_ns)
        self._tokens.append(tokens)

    def handed(self, before_ns: int, after_ns: int) -> None:
        """The next chunk's last byte was taken by a system call that ran from `before_ns` to `after_ns`."""
        self._sent_ns.append(before_ns)
        self._taken_ns.append(after_ns)

    def fail(self, error: str) -> None:
        """Keep the error text the client was given."""
        self._error = error

    def close(self, outcome: Outcome, ended_ns: int) -> SentRequest:
        """The finished record."""
        count = len(self._sent_ns)
        return SentRequest(
            **self._fields,  # type: ignore[arg-type]
            chunk_due_ns=tuple(self._due_ns[:count]),
            chunk_sent_ns=tuple(self._sent_ns),
            chunk_taken_ns=tuple(self._taken_ns),
            chunk_tokens=tuple(self._tokens[:count]),
            ended_ns=ended_ns,
            outcome=outcome,
            error=self._error,
        )


class SentLog:
    """Finished requests, kept in `records` when there is no file, else written to it when the server has time."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[SentRequest] = []
        self._pending: deque[SentRequest] = deque()
        self._file: TextIO | None = None if path is None else path.open("w", encoding="utf-8")

    def add(self, request: SentRequest) -> None:
        """Take a finished request; it reaches the file with a later `write`."""
        (self.records if self._file is None else self._pending).append(request)

    def write(self, limit: int | None = None) -> bool:
        """Write up to `limit` pending requests (None: all) and flush; True if some are still pending."""
        if self._file is None or not self._pending:
            return False
        for _ in range(len(self._pending) if limit is None else min(limit, len(self._pending))):
            self._file.write(json.dumps(vars(self._pending.popleft())) + "\n")
        self._file.flush()
        return bool(self._pending)

    def close(self) -> None:
        """Write what is pending and close the file."""
        self.write()
        if self._file is not None:
            self._file.close()


def read_log(path: Path) -> list[SentRequest]:
    """The requests of a log file, in the order in which they ended. Raises UsageError for a line that is no record."""
    with path.open(encoding="utf-8") as lines:
        return [_parse(line, number, path) for number, line in enumerate(lines, start=1)]


def _parse(line: str, number: int, path: Path) -> SentRequest:
    try:
        fields: dict[str, Any] = json.loads(line)
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        fields["outcome"] = Outcome(fields["outcome"])
        return SentRequest(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{path}:{number}: not a record of the truth server ({error})",
            hint="the server was killed while it wrote; stop it with SIGTERM to get a complete log",
        ) from error
