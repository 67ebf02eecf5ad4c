"""HTTP/2 frames and gRPC messages of a client, without I/O: bytes in, bytes out (RFC 9113, gRPC over HTTP/2).

`FrameCore.feed(data, now)` takes what one `recv` returned and the instant taken right after it; every gRPC message in
those bytes gets that instant. In this path frames are only split: messages stay raw bytes, protobuf waits until the
call is over. Header blocks are the exception: HPACK is stateful, each must pass the decoder once, in order.

Not here: sockets, TLS, protobuf, and the choice of a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5

RECEIVE_WINDOW = 1 << 30  # per stream and per connection: the receiver of a benchmark must never slow the sender down
GRANT_AFTER = 1 << 24  # bytes received before the connection's window is topped up
DEFAULT_SEND_WINDOW = 65_535
DEFAULT_FRAME_SIZE = 16_384
UNLIMITED = 1 << 31
CANCEL = 8

STATUS_UNKNOWN, STATUS_INTERNAL, STATUS_UNAVAILABLE = 2, 13, 14


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def _setting(identifier: int, value: int) -> bytes:
    return identifier.to_bytes(2, "big") + value.to_bytes(4, "big")


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing (RFC 7541 §6.2.2): the same bytes for every request, no encoder state."""
    return b"\x00" + _hpack_string(name) + _hpack_string(value)


def _hpack_string(text: bytes) -> bytes:
    length, out = len(text), bytearray()
    if length < 127:
        return bytes((length,)) + text
    out.append(127)
    length -= 127
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out) + text


def header_block(path: str, authority: str, *, secure: bool, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
    """The request headers of a gRPC call as an HPACK block; metadata names must be lower case."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"https" if secure else b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"triton-llm-harness"),
        *((name.encode(), value.encode()) for name, value in metadata),
    ]
    return b"".join(_literal(name, value) for name, value in fields)


def metadata_block(metadata: Sequence[tuple[str, str]]) -> bytes:
    """More metadata as HPACK literals, to stand behind a header block; names must be lower case."""
    return b"".join(_literal(name.encode(), value.encode()) for name, value in metadata)


class Call:
    """One gRPC call in flight: the raw messages received and the instant of each, then how it ended."""

    __slots__ = (
        "done",
        "ended_ns",
        "extra_headers",
        "http_status",
        "lost",
        "messages",
        "partial",
        "request",
        "reset_code",
        "send_window",
        "stamps",
        "status",
        "status_message",
        "stopped_by_watch",
        "stream_id",
        "streamed",
        "unsent",
        "watch",
    )

    def __init__(
        self,
        done: Callable[[], None],
        watch: Callable[[int, bytes], bool] | None = None,
        *,
        extra_headers: bytes = b"",
        streamed: bool = True,
    ) -> None:
        self.done = done  # called once, when the call is over
        self.stopped_by_watch = False
        self.watch = watch  # called with (instant, message); True ends the call with RST_STREAM at this very message
        self.extra_headers = extra_headers  # HPACK literals of this call alone
        self.streamed = streamed  # whether the request asked for a stream
        self.request = b""  # the request message, once it is sent
        self.stamps: list[int] = []  # instant (ns) of each message
        self.messages: list[bytes] = []
        self.partial = b""
        self.status: int | None = None  # gRPC status code
        self.status_message = ""
        self.http_status = "200"
        self.lost = False  # the connection went away, or never carried the call
        self.reset_code: int | None = None
        self.ended_ns = 0
        self.stream_id = 0
        self.send_window = DEFAULT_SEND_WINDOW
        self.unsent = b""


class FrameCore:
    """The state of one client connection. All methods return the bytes to write to the socket, possibly none."""

    def __init__(self, headers: bytes) -> None:
        self._headers = headers
        self._buffer = b""
        self._resets = b""
        self._next_stream_id = 1
        self._received = 0
        self._decoder = hpack.Decoder()
        self._block = b""
        self._block_stream = 0
        self._block_ends_stream = False
        self._send_window = DEFAULT_SEND_WINDOW
        self._initial_window = DEFAULT_SEND_WINDOW
        self._frame_size = DEFAULT_FRAME_SIZE
        self._blocked: list[Call] = []
        self.live: dict[int, Call] = {}
        self.max_streams = UNLIMITED
        self.settled = False  # the peer's SETTINGS have arrived
        self.going_away = False

    def hello(self) -> bytes:
        """The preface and our settings: no push, wide windows."""
        settings = _setting(ENABLE_PUSH, 0) + _setting(INITIAL_WINDOW_SIZE, RECEIVE_WINDOW)
        grant = RECEIVE_WINDOW - DEFAULT_SEND_WINDOW
        return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, grant.to_bytes(4, "big"))

    @property
    def has_room(self) -> bool:
        """Whether another stream may be opened on this connection."""
        return not self.going_away and len(self.live) < self.max_streams and self._next_stream_id < UNLIMITED - 2

    def start(self, call: Call, message: bytes) -> bytes:
        """Open a stream with one request message, then half-close it."""
        call.stream_id = self._next_stream_id
        self._next_stream_id += 2
        call.send_window = self._initial_window
        call.request = message
        self.live[call.stream_id] = call
        head = frame(HEADERS, END_HEADERS, call.stream_id, self._headers + call.extra_headers)
        body = b"\0" + len(message).to_bytes(4, "big") + message
        length = len(body)
        if length <= self._frame_size and length <= self._send_window and length <= call.send_window:
            self._send_window -= length
            return head + frame(DATA, END_STREAM, call.stream_id, body)
        call.unsent = body
        self._blocked.append(call)
        return head + self._flush_blocked()

    def cancel(self, call: Call) -> bytes:
        """Forget a call and tell the server (RST_STREAM CANCEL)."""
        if self.live.pop(call.stream_id, None) is None:
            return b""
        call.unsent = b""
        return frame(RST_STREAM, 0, call.stream_id, CANCEL.to_bytes(4, "big"))

    def lost(self, now: int, why: str) -> None:
        """The connection is gone: every call in flight ends with UNAVAILABLE."""
        for call in list(self.live.values()):
            call.lost = True
            self._end(call, now, STATUS_UNAVAILABLE, why)

    def feed(self, data: bytes, now: int) -> bytes:
        """Take received bytes; `now` is the instant (ns) at which `recv` returned."""
        buffer = self._buffer + data if self._buffer else data
        position, length, out, live = 0, len(buffer), b"", self.live
        while length - position >= 9:
            size = (buffer[position] << 16) | (buffer[position + 1] << 8) | buffer[position + 2]
            end = position + 9 + size
            if end > length:
                break
            if buffer[position + 3] == DATA:  # the hot path
                self._received += size
                call = live.get(int.from_bytes(buffer[position + 5 : position + 9], "big") & 0x7FFFFFFF)
                if call is not None:
                    self._take_data(call, buffer, position, end, now)
            else:
                out += self._take_control(buffer, position, end, now)
            position = end
        self._buffer = buffer[position:] if position else buffer
        if self._received > GRANT_AFTER:
            out += frame(WINDOW_UPDATE, 0, 0, self._received.to_bytes(4, "big"))
            self._received = 0
        if self._resets:
            out, self._resets = out + self._resets, b""
        return out

    def _take_data(self, call: Call, buffer: bytes, position: int, end: int, now: int) -> None:
        flags, start = buffer[position + 4], position + 9
        if flags & PADDED:
            end -= buffer[start]
            start += 1
        if call.partial:
            buffer = call.partial + buffer[start:end]
            start, end = 0, len(buffer)
        while end - start >= 5:
            stop = start + 5 + int.from_bytes(buffer[start + 1 : start + 5], "big")
            if stop > end:
                break
            call.stamps.append(now)
            call.messages.append(buffer[start + 5 : stop])
            start = stop
            if call.watch is not None and call.watch(now, call.messages[-1]):
                self._resets += self.cancel(call)
                call.stopped_by_watch, call.ended_ns = True, now
                call.done()
                return
        call.partial = buffer[start:end] if start < end else b""
        if flags & END_STREAM:  # a proxy ends a broken stream so, without trailers
            self._end(call, now, STATUS_INTERNAL, "stream ended without trailers")

    def _take_control(self, buffer: bytes, position: int, end: int, now: int) -> bytes:
        kind, flags = buffer[position + 3], buffer[position + 4]
        stream_id = int.from_bytes(buffer[position + 5 : position + 9], "big") & 0x7FFFFFFF
        payload = buffer[position + 9 : end]
        if kind in (HEADERS, CONTINUATION):
            self._take_headers(kind, flags, stream_id, payload, now)
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
            return frame(SETTINGS, ACK, 0, b"") + self._flush_blocked()
        elif kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            self._take_window_update(stream_id, int.from_bytes(payload[:4], "big") & 0x7FFFFFFF)
            return self._flush_blocked()
        elif kind == RST_STREAM:
            self._take_reset(stream_id, int.from_bytes(payload[:4], "big"), now)
        elif kind == GOAWAY:
            self._take_goaway(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, now)
        return b""

    def _take_headers(self, kind: int, flags: int, stream_id: int, payload: bytes, now: int) -> None:
        if kind == HEADERS:
            start, stop = 0, len(payload)
            if flags & PADDED:
                stop -= payload[0]
                start += 1
            if flags & HAS_PRIORITY:
                start += 5
            self._block, self._block_stream = payload[start:stop], stream_id
            self._block_ends_stream = bool(flags & END_STREAM)
        else:
            self._block += payload
        if not flags & END_HEADERS:
            return
        fields = self._decoder.decode(self._block)
        call = self.live.get(self._block_stream)
        if call is not None:
            self._take_fields(call, fields, now)

    def _take_fields(self, call: Call, fields: Sequence[tuple[str, str]], now: int) -> None:
        for name, value in fields:
            if name == "grpc-status":
                call.status = int(value) if value.isdigit() else STATUS_UNKNOWN
            elif name == "grpc-message":
                call.status_message = value
            elif name == ":status":
                call.http_status = value
        if self._block_ends_stream:
            missing = f"HTTP {call.http_status}" if call.http_status != "200" else "trailers without grpc-status"
            self._end(call, now, STATUS_UNKNOWN, missing)

    def _take_settings(self, payload: bytes) -> None:
        for offset in range(0, len(payload) - 5, 6):
            identifier = int.from_bytes(
                payload[offset : offset + 2], "big"
            )  # two bytes: gRPC has private ids above 255
            value = int.from_bytes(payload[offset + 2 : offset + 6], "big")
            if identifier == MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            elif identifier == MAX_FRAME_SIZE:
                self._frame_size = value
            elif identifier == INITIAL_WINDOW_SIZE:
                for call in self.live.values():
                    call.send_window += value - self._initial_window
                self._initial_window = value
        self.settled = True

    def _take_window_update(self, stream_id: int, increment: int) -> None:
        if stream_id == 0:
            self._send_window += increment
        elif (call := self.live.get(stream_id)) is not None:
            call.send_window += increment

    def _take_reset(self, stream_id: int, code: int, now: int) -> None:
        call = self.live.get(stream_id)
        if call is not None:
            call.reset_code = code
            self._end(call, now, STATUS_INTERNAL, f"stream reset by the peer (HTTP/2 error {code})")

    def _take_goaway(self, last_stream_id: int, now: int) -> None:
        self.going_away = True
        for call in [call for call in self.live.values() if call.stream_id > last_stream_id]:
            call.lost = True
            self._end(call, now, STATUS_UNAVAILABLE, "the server is going away")

    def _flush_blocked(self) -> bytes:
        """Send what the peer's flow control now allows of the request bodies that had to wait."""
        out = b""
        for call in list(self._blocked):
            while call.unsent:
                size = min(len(call.unsent), self._frame_size, self._send_window, call.send_window)
                if size <= 0:
                    break
                part, call.unsent = call.unsent[:size], call.unsent[size:]
                self._send_window -= size
                call.send_window -= size
                out += frame(DATA, 0 if call.unsent else END_STREAM, call.stream_id, part)
            if not call.unsent:
                self._blocked.remove(call)
        return out

    def _end(self, call: Call, now: int, status: int, why: str) -> None:
        self.live.pop(call.stream_id, None)
        call.unsent = b""
        call.ended_ns = now
        if call.status is None:
            call.status, call.status_message = status, call.status_message or why
        call.done()
