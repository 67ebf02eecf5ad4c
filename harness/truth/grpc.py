"""gRPC over HTTP/2: message framing, header blocks, statuses (the protocol document PROTOCOL-HTTP2.md of gRPC).

Header blocks are written as HPACK literals without indexing (RFC 7541 §6.2.2): always correct, and no state.
"""

from __future__ import annotations

import enum
import struct
from urllib.parse import quote

PREFIX_SIZE = 5
MAX_MESSAGE = 1 << 28
_PREFIX = struct.Struct(">BL")


class Status(enum.IntEnum):
    """The gRPC status codes that this server gives."""

    OK = 0
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class GrpcError(Exception):
    """A call, or one request in it, fails with this status and message."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def frame_message(message: bytes) -> bytes:
    """One message behind its five-byte prefix, not compressed."""
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Joins the content of DATA frames and splits it into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_between_messages(self) -> bool:
        """Whether all bytes so far belong to complete messages."""
        return not self._buffer

    def feed(self, content: bytes) -> list[bytes]:
        """The messages complete with `content`. Raises GrpcError for a compressed or too long one."""
        self._buffer += content
        messages = []
        while len(self._buffer) >= PREFIX_SIZE:
            compressed, size = _PREFIX.unpack_from(self._buffer)
            if compressed:
                raise GrpcError(Status.UNIMPLEMENTED, "compressed messages are not supported")
            if size > MAX_MESSAGE:
                raise GrpcError(Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes exceeds {MAX_MESSAGE}")
            if len(self._buffer) < PREFIX_SIZE + size:
                break
            messages.append(bytes(self._buffer[PREFIX_SIZE : PREFIX_SIZE + size]))
            del self._buffer[: PREFIX_SIZE + size]
        return messages


def response_headers() -> bytes:
    """The header block before the first message."""
    return _STATUS_200 + _literal("content-type", "application/grpc")


def trailers(status: Status, message: str = "", *, only: bool = False) -> bytes:
    """The block that ends a call; `only`: no header block went before it (gRPC's Trailers-Only)."""
    block = response_headers() if only else b""
    block += _literal("grpc-status", str(int(status)))
    # Percent-encoded: space to tilde, except the percent sign itself, stand as they are.
    return block + (_literal("grpc-message", quote(message, safe=_PLAIN)) if message else b"")


def not_grpc() -> bytes:
    """The block that answers a request that is no gRPC call: HTTP 415."""
    return _indexed_name(8, "415")


def _literal(name: str, value: str) -> bytes:
    return b"\x00" + _string(name) + _string(value)


def _indexed_name(index: int, value: str) -> bytes:
    """A literal without indexing whose name is entry `index` (below 15) of the static table."""
    return bytes([index]) + _string(value)


def _string(text: str) -> bytes:
    """An HPACK string literal without Huffman code; lengths up to 126 fit in one byte, longer ones continue."""
    raw = text.encode("latin-1")
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    length = bytearray([127])
    rest = len(raw) - 127
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    length.append(rest)
    return bytes(length) + raw


_STATUS_200 = b"\x88"
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
