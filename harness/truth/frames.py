"""HTTP/2 frames (RFC 9113 §4, §6): bytes to frames and back. No connection state, no socket."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_SIZE = 9
DEFAULT_WINDOW = 65_535
DEFAULT_MAX_FRAME = 16_384
MAX_WINDOW = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

_HEADER = struct.Struct(">BHBBL")
_SETTING = struct.Struct(">HL")


class Setting(enum.IntEnum):
    """Identifiers of SETTINGS that this server reads or writes; all others are ignored, as RFC 9113 §6.5.2 asks."""

    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_CONCURRENT_STREAMS = 0x3
    # gRPC's private setting, sent by its servers: who reads one byte of it takes it for MAX_CONCURRENT_STREAMS.
    GRPC_TRUE_BINARY_METADATA = 0xFE03


class Code(enum.IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9


class ConnectionBroken(Exception):
    """The peer violated the protocol: the connection ends with GOAWAY and `code`."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `payload` as it came, padding included."""

    type: int
    flags: int
    stream_id: int
    payload: bytes


def pack(frame_type: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return pack_header(len(payload), frame_type, flags, stream_id) + payload


def pack_header(size: int, frame_type: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes before a payload of `size` bytes."""
    return _HEADER.pack(size >> 16, size & 0xFFFF, frame_type, flags, stream_id)


def number(value: int) -> bytes:
    """A 32-bit number, as WINDOW_UPDATE, RST_STREAM and GOAWAY carry it."""
    return int(value).to_bytes(4, "big")


def pack_settings(settings: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return pack(SETTINGS, 0, 0, b"".join(_SETTING.pack(number, value) for number, value in settings.items()))


def pack_window_update(stream_id: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame for a stream, or for the connection (stream 0)."""
    return pack(WINDOW_UPDATE, 0, stream_id, number(increment))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The (identifier, value) pairs of a SETTINGS payload, in order. Raises ConnectionBroken for a broken length."""
    if len(payload) % _SETTING.size:
        raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "SETTINGS is not a multiple of six bytes")
    return list(_SETTING.iter_unpack(payload))


def read_number(frame: Frame) -> int:
    """The 32-bit number that is the whole payload of RST_STREAM and WINDOW_UPDATE."""
    if len(frame.payload) != 4:
        raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"frame type {frame.type} must carry four bytes")
    return int.from_bytes(frame.payload, "big")


def content(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and without the priority fields of HEADERS."""
    start, end = 0, len(frame.payload)
    if frame.flags & PADDED:
        if not frame.payload:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a padded frame without a pad length")
        start, end = 1, end - frame.payload[0]
    if frame.type == HEADERS and frame.flags & PRIORITY_FLAG:
        start += 5
    if start > end:
        raise ConnectionBroken(Code.PROTOCOL_ERROR, "padding is longer than the frame")
    return frame.payload if (start, end) == (0, len(frame.payload)) else frame.payload[start:end]


class FrameReader:
    """Splits a byte stream, received in any pieces, into frames; the client's preface comes first."""

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._max_frame = max_frame
        self._preface_seen = False

    def feed(self, received: bytes) -> list[Frame]:
        """The frames that are complete with `received`. Raises ConnectionBroken (wrong preface, too long a frame)."""
        self._buffer += received
        if not self._preface_seen and not self._take_preface():
            return []
        frames = []
        start = 0
        while (frame := self._frame_at(start)) is not None:
            frames.append(frame)
            start += HEADER_SIZE + len(frame.payload)
        del self._buffer[:start]
        return frames

    def _take_preface(self) -> bool:
        if not PREFACE.startswith(self._buffer[: len(PREFACE)]):
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "the client did not send the HTTP/2 preface")
        if len(self._buffer) < len(PREFACE):
            return False
        del self._buffer[: len(PREFACE)]
        self._preface_seen = True
        return True

    def _frame_at(self, start: int) -> Frame | None:
        if len(self._buffer) - start < HEADER_SIZE:
            return None
        high, low, frame_type, flags, stream_id = _HEADER.unpack_from(self._buffer, start)
        size = high << 16 | low
        if size > self._max_frame:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes exceeds {self._max_frame}")
        end = start + HEADER_SIZE + size
        if len(self._buffer) < end:
            return None
        return Frame(frame_type, flags, stream_id & MAX_WINDOW, bytes(self._buffer[start + HEADER_SIZE : end]))
