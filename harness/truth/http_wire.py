"""HTTP/1.1 on the server's side (RFC 9112): requests out of bytes, heads and chunks into bytes. No socket, no clock."""

from __future__ import annotations

import http
import json
from dataclasses import dataclass, field
from typing import Any

MOST_HEAD = 1 << 18
LAST_CHUNK = b"0\r\n\r\n"


class NotHttp(Exception):
    """The peer sent something that is no HTTP/1.1 request; the connection ends."""


@dataclass
class Request:
    """A request whose head is complete. `key` is the credential it came with, in either usual header."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)

    @property
    def key(self) -> str:
        """The bearer token, or the API key."""
        return self.headers.get("authorization", "").removeprefix("Bearer ") or self.headers.get("x-api-key", "")


class RequestReader:
    """Splits a byte stream, received in any pieces, into requests, one after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: Request | None = None
        self._left: int | None = None  # bytes of the body still to come; None: chunked coding

    @property
    def begun(self) -> bool:
        """Whether the head of a request is complete, and its body is not."""
        return self._request is not None

    def feed(self, received: bytes) -> None:
        """Take bytes; `next` then gives what is complete."""
        self._buffer += received

    def next(self) -> Request | None:
        """The next complete request. Raises NotHttp."""
        if self._request is None and not self._take_head():
            return None
        assert self._request is not None
        if not (self._take_chunks(self._request) if self._left is None else self._take_rest(self._request)):
            return None
        complete, self._request = self._request, None
        return complete

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MOST_HEAD or (b"PRI * HTTP/2.0".startswith(self._buffer[:14]) and self._buffer):
                raise NotHttp("no HTTP/1.1 request")
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        try:
            method, path, _ = first.split(" ")
        except ValueError:
            raise NotHttp(f"no request line: {first[:60]!r}") from None
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._request = Request(method, path, headers)
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._left = None if chunked else int(headers.get("content-length", 0))
        return True

    def _take_rest(self, request: Request) -> bool:
        part = self._buffer[: self._left]
        del self._buffer[: len(part)]
        request.body += part
        self._left = (self._left or 0) - len(part)
        return self._left == 0

    def _take_chunks(self, request: Request) -> bool:
        while (line_end := self._buffer.find(b"\r\n")) >= 0:
            size = int(self._buffer[:line_end].split(b";")[0], 16)
            end = line_end + 2 + size
            if len(self._buffer) < end + 2:
                return False
            request.body += self._buffer[line_end + 2 : end]
            del self._buffer[: end + 2]
            if size == 0:
                return True
        return False


def head(status: int, content_type: str, framing: str) -> bytes:
    """A response's head. `framing`: the header line that tells how the body ends."""
    reason = http.HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n".encode()


def whole(status: int, content: Any) -> bytes:
    """A complete response with a JSON body; None is an empty one."""
    body = b"" if content is None else json.dumps(content).encode()
    return head(status, "application/json", f"Content-Length: {len(body)}") + body


def chunk(content: bytes) -> bytes:
    """One chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(content), content)
