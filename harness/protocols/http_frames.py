"""HTTP/1.1 responses of a client, without I/O: bytes in, events with their instants out (RFC 9112).

`HttpCore.feed(data, now)` takes what one `recv` returned and the instant taken right after it. In this path only the
head, the chunked coding and the blank lines between events are looked at; every event that became complete with those
bytes gets that instant. JSON waits until the call is over. A response that is no event stream is one message, at its
end.

Not here: sockets, TLS, JSON, pipelining (one call at a time per connection), compressed bodies (none is asked for).
"""

from __future__ import annotations

from collections.abc import Callable

# How a call ended, in gRPC's numbers: drivers do not tell protocols apart.
STATUS_OK, STATUS_UNAVAILABLE = 0, 14
MOST_HEAD_BYTES = 1 << 18
_HEAD, _SIZE_LINE, _CHUNK, _TRAILER, _LENGTH, _UNTIL_CLOSE = range(6)


class HttpCall:
    """One request in flight: the raw events received and the instant of each, then how it ended."""

    __slots__ = (
        "done",
        "ended_ns",
        "http_status",
        "is_events",
        "lost",
        "messages",
        "partial",
        "request",
        "separator",
        "stamps",
        "status",
        "status_message",
        "stopped_by_watch",
        "streamed",
        "watch",
    )

    def __init__(
        self,
        done: Callable[[], None],
        watch: Callable[[int, bytes], bool] | None = None,
        *,
        streamed: bool = True,
    ) -> None:
        self.done = done  # called once, when the call is over
        self.stopped_by_watch = False
        self.watch = watch  # called with (instant, event); True ends the call, and so the connection, at this event
        self.streamed = streamed  # whether the request asked for a stream
        self.request = b""  # the request's bytes, once it is sent
        self.stamps: list[int] = []  # instant (ns) of each message
        self.messages: list[bytes] = []  # events as they came, or the whole body
        self.partial = b""
        self.separator: bytes | None = None  # the blank line between events, as this server writes it
        self.is_events = False
        self.http_status: int | None = None
        self.status: int | None = None  # STATUS_OK once the response is complete
        self.status_message = ""
        self.lost = False  # the connection went away before the response was complete
        self.ended_ns = 0


class HttpCore:
    """The receiving half of one client connection."""

    def __init__(self) -> None:
        self.call: HttpCall | None = None
        self.must_close = False  # nothing more can be asked on this connection
        self._buffer = b""
        self._reading = _HEAD
        self._left = 0  # bytes of the body, or of the chunk, that are still to come

    def start(self, call: HttpCall, message: bytes) -> bytes:
        """Begin a call; returns the bytes to write."""
        call.request = message
        self.call, self._reading = call, _HEAD
        return message

    def cancel(self, call: HttpCall) -> bool:
        """Forget the call; True if it was under way: HTTP/1.1 can only end it by closing the connection."""
        if self.call is not call:
            return False
        self.call, self.must_close = None, True
        return True

    def lost(self, now: int, why: str) -> None:
        """The connection is gone. That is the end of a response without a length, and cuts any other."""
        self.must_close = True
        call = self.call
        if call is None:
            return
        if self._reading == _UNTIL_CLOSE:
            self._finish(call, now)
            return
        self.call = None
        call.lost, call.status, call.status_message, call.ended_ns = True, STATUS_UNAVAILABLE, why, now
        call.done()

    def feed(self, data: bytes, now: int) -> None:
        """Take received bytes; `now` is the instant (ns) at which `recv` returned. ValueError: no HTTP."""
        call = self.call
        if call is None:
            self.must_close = True  # nobody asked
            return
        buffer = self._buffer + data if self._buffer else data
        self._buffer = b""
        if self._reading == _HEAD:
            buffer = self._take_head(call, buffer)
        if self._reading in (_SIZE_LINE, _CHUNK, _TRAILER):
            self._take_chunked(call, buffer, now)
        elif self._reading == _LENGTH:
            self._take_length(call, buffer, now)
        elif self._reading == _UNTIL_CLOSE and buffer:
            _take_body(call, buffer, now)
        if call.stopped_by_watch and self.cancel(call):
            call.ended_ns = now
            call.done()

    # ---- the head

    def _take_head(self, call: HttpCall, buffer: bytes) -> bytes:
        """Read the head if it is complete; returns the bytes behind it."""
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > MOST_HEAD_BYTES or not b"HTTP/1.".startswith(buffer[:7]):
                raise ValueError("the peer does not speak HTTP/1.1")
            self._buffer = buffer
            return b""
        status_line, *lines = buffer[:end].decode("latin-1").split("\r\n")
        version, _, rest = status_line.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"the peer does not speak HTTP/1.1: {status_line[:80]!r}")
        status = int(rest[:3])
        if 100 <= status < 200:
            return self._take_head(call, buffer[end + 4 :])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        call.http_status, call.status_message = status, rest
        call.is_events = headers.get("content-type", "").lower().startswith("text/event-stream")
        connection = headers.get("connection", "").lower()
        self.must_close |= "close" in connection or (version == "HTTP/1.0" and "keep-alive" not in connection)
        self._begin_body(status, headers)
        return buffer[end + 4 :]

    def _begin_body(self, status: int, headers: dict[str, str]) -> None:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._reading = _SIZE_LINE
        elif status in (204, 304):
            self._reading, self._left = _LENGTH, 0
        elif "content-length" in headers:
            self._reading, self._left = _LENGTH, int(headers["content-length"])
        else:
            self._reading, self.must_close = _UNTIL_CLOSE, True

    # ---- the body

    def _take_chunked(self, call: HttpCall, buffer: bytes, now: int) -> None:
        """Split the chunked coding; the content of all chunks in these bytes is one piece of the body."""
        position, length, pieces = 0, len(buffer), []
        while position < length:
            if self._reading == _CHUNK:
                end = position + self._left
                if end + 2 > length:  # the chunk, or the line end behind it, is not complete
                    content = buffer[position : min(end, length)]
                    if content:
                        pieces.append(content)
                        self._left -= len(content)
                    self._buffer = buffer[position + len(content) :]
                    break
                pieces.append(buffer[position:end])
                position, self._reading = end + 2, _SIZE_LINE
                continue
            line_end = buffer.find(b"\r\n", position)
            if line_end < 0:
                self._buffer = buffer[position:]
                break
            line, position = buffer[position:line_end], line_end + 2
            if self._reading == _SIZE_LINE:
                self._left = int(line.partition(b";")[0], 16)
                self._reading = _CHUNK if self._left else _TRAILER
            elif not line:
                self._end(call, pieces, buffer[position:], now)
                return
        if pieces:
            _take_body(call, pieces[0] if len(pieces) == 1 else b"".join(pieces), now)

    def _take_length(self, call: HttpCall, buffer: bytes, now: int) -> None:
        content = buffer[: self._left]
        self._left -= len(content)
        if self._left:
            _take_body(call, content, now)
        else:
            self._end(call, [content], buffer[len(content) :], now)

    def _end(self, call: HttpCall, pieces: list[bytes], behind: bytes, now: int) -> None:
        if pieces:
            _take_body(call, b"".join(pieces), now)
        self.must_close |= bool(behind)  # bytes that nobody asked for
        self._finish(call, now)

    def _finish(self, call: HttpCall, now: int) -> None:
        if call.partial.strip() or not call.is_events:  # an event without its blank line; or the whole body
            call.messages.append(call.partial)
            call.stamps.append(now)
        self.call, call.partial = None, b""
        call.status, call.ended_ns = STATUS_OK, now
        call.done()


def _take_body(call: HttpCall, content: bytes, now: int) -> None:
    """Content of the body: events are split at their blank lines, anything else is kept whole."""
    if call.partial:
        content = call.partial + content
    if not call.is_events:
        call.partial = content
        return
    separator = call.separator or _separator(call, content)
    events = content.split(separator)
    call.partial = events.pop()
    if call.watch is not None:
        _watch(call, call.watch, events, now)
        return
    call.messages += events
    call.stamps += [now] * len(events)


def _watch(call: HttpCall, watch: Callable[[int, bytes], bool], events: list[bytes], now: int) -> None:
    """Take the events one by one until the watch stops the call."""
    for event in events:
        if call.stopped_by_watch:
            return
        call.messages.append(event)
        call.stamps.append(now)
        call.stopped_by_watch = watch(now, event)


def _separator(call: HttpCall, content: bytes) -> bytes:
    """The blank line as it first occurs; until one does, the usual."""
    for candidate in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        if candidate in content:
            call.separator = candidate
            return candidate
    return b"\n\n"
