"""What a connection sends: frames in, bytes out, under the peer's windows (RFC 9113 §5.2, §6.9). No socket, no clock.

Bytes to send collect in `out`; the owner of the socket removes what the kernel took and asks `passed` which marks lay
in it. DATA waits here while the peer's windows are full, and what follows it on its stream waits behind it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from harness.truth import frames
from harness.truth.frames import Code, ConnectionBroken

RECEIVE_WINDOW = 1 << 20


class Mark(Protocol):
    """Something that wants to know when the socket took the bytes before it."""

    def handed(self, before_ns: int, after_ns: int) -> None:
        """The bytes were taken by a system call that ran from `before_ns` to `after_ns`."""


@dataclass(slots=True)
class Stream:
    """The windows of one open stream, and what waits for them: (frame type, flags, content, mark)."""

    send_window: int
    receive_window: int = RECEIVE_WINDOW
    client_closed: bool = False
    waiting: deque[tuple[int, int, bytes, Mark | None]] = field(default_factory=deque)


class Outgoing:
    """The sending half. Methods that take a `stream_id` ignore streams that are already gone."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.streams: dict[int, Stream] = {}
        self.max_frame = frames.DEFAULT_MAX_FRAME
        self._blocked: dict[int, Stream] = {}
        self._passed = self._written = 0
        self._marks: deque[tuple[int, Mark]] = deque()
        self._window = self._initial_window = frames.DEFAULT_WINDOW

    def open(self, stream_id: int) -> Stream:
        """A new stream, with the window that the peer gives every new one."""
        stream = self.streams[stream_id] = Stream(self._initial_window)
        return stream

    def drop(self, stream_id: int) -> None:
        """Forget a stream and what waits on it."""
        self.streams.pop(stream_id, None)
        self._blocked.pop(stream_id, None)

    def send_headers(self, stream_id: int, block: bytes, *, end: bool = False, mark: Mark | None = None) -> None:
        """A header block (encoded, at most one frame long), behind any DATA that waits on the stream."""
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        self._send(stream_id, frames.HEADERS, flags, block, mark)

    def send_data(self, stream_id: int, content: bytes, *, end: bool = False, mark: Mark | None = None) -> None:
        """DATA; split and delayed as the peer's windows and frame size demand. `mark` is for its last byte."""
        flags = frames.END_STREAM if end else 0
        stream = self.streams.get(stream_id)
        size = len(content)
        if stream is None:
            return
        if stream.waiting or size > stream.send_window or size > self._window or size > self.max_frame:
            self._send(stream_id, frames.DATA, flags, content, mark)
            return
        stream.send_window -= size
        self._window -= size
        self.write(frames.pack_header(size, frames.DATA, flags, stream_id) + content, mark)
        if end:
            self._finish(stream_id)

    def reset(self, stream_id: int, code: Code, mark: Mark | None = None) -> None:
        """RST_STREAM, behind any DATA that waits on the stream."""
        self._send(stream_id, frames.RST_STREAM, 0, frames.number(code), mark)

    def mark_after(self, stream_id: int, mark: Mark) -> None:
        """Mark the point behind all that was sent on the stream so far, without sending anything."""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.waiting:
            frame_type, flags, content, other = stream.waiting.pop()
            stream.waiting.append((frame_type, flags, content, _both(other, mark)))
        else:
            self.write(b"", mark)

    def waiting_bytes(self, stream_id: int) -> int:
        """Bytes of the stream that the peer's windows hold back, plus all bytes of the connection not yet taken."""
        stream = self.streams.get(stream_id)
        return len(self.out) + (sum(len(item[2]) for item in stream.waiting) if stream and stream.waiting else 0)

    def passed(self, count: int) -> list[Mark]:
        """Remove the first `count` bytes of `out`, which the socket took; the marks that lay in them, in order."""
        if count == len(self.out):
            self.out.clear()
        else:
            del self.out[:count]
        self._passed += count
        marks = []
        while self._marks and self._marks[0][0] <= self._passed:
            marks.append(self._marks.popleft()[1])
        return marks

    @property
    def has_marks(self) -> bool:
        """Whether somebody waits for bytes to be taken."""
        return bool(self._marks)

    def widen(self, stream_id: int, increment: int) -> None:
        """The peer takes `increment` bytes more, on a stream or (0) in all. Raises ConnectionBroken."""
        if stream_id == 0:
            self._window = _widened(self._window, increment)
        elif (stream := self.streams.get(stream_id)) is not None:
            stream.send_window = _widened(stream.send_window, increment)
        self.send_waiting()

    def change_initial_window(self, value: int) -> None:
        """RFC 9113 §6.9.2: the change applies to open streams too, whose windows may become negative."""
        if value > frames.MAX_WINDOW:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE {value}")
        for stream in self.streams.values():
            stream.send_window += value - self._initial_window
        self._initial_window = value

    def write(self, packed: bytes, mark: Mark | None = None) -> None:
        """Frames that no window holds back."""
        self.out += packed
        self._written += len(packed)
        if mark is not None:
            self._marks.append((self._written, mark))

    def _send(self, stream_id: int, frame_type: int, flags: int, content: bytes, mark: Mark | None) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        stream.waiting.append((frame_type, flags, content, mark))
        self._blocked[stream_id] = stream
        self.send_waiting()

    def send_waiting(self) -> None:
        """One frame of each waiting stream in turn, until none can go on."""
        moved = True
        while moved and self._blocked:
            moved = False
            for stream_id, stream in list(self._blocked.items()):
                moved |= self._send_one(stream_id, stream)
                if not stream.waiting:
                    self._blocked.pop(stream_id, None)

    def _send_one(self, stream_id: int, stream: Stream) -> bool:
        frame_type, flags, content, mark = stream.waiting[0]
        if frame_type == frames.DATA:
            room = min(stream.send_window, self._window, self.max_frame)
            if content and room < len(content):  # an empty frame needs no window
                return room > 0 and self._send_part(stream_id, stream, room)
            stream.send_window -= len(content)
            self._window -= len(content)
        stream.waiting.popleft()
        self.write(frames.pack(frame_type, flags, stream_id, content), mark)
        if frame_type == frames.RST_STREAM:
            self.drop(stream_id)
        elif flags & frames.END_STREAM:
            self._finish(stream_id)
        return True

    def _send_part(self, stream_id: int, stream: Stream, room: int) -> bool:
        _, flags, content, mark = stream.waiting.popleft()
        stream.send_window -= room
        self._window -= room
        self.write(frames.pack(frames.DATA, 0, stream_id, content[:room]))
        stream.waiting.appendleft((frames.DATA, flags, content[room:], mark))
        return True

    def _finish(self, stream_id: int) -> None:
        """We sent END_STREAM; a client that is still sending is told to stop (RFC 9113 §8.1)."""
        if not self.streams[stream_id].client_closed:
            self.write(frames.pack(frames.RST_STREAM, 0, stream_id, frames.number(Code.NO_ERROR)))
        self.drop(stream_id)


class _Both:
    def __init__(self, first: Mark, second: Mark) -> None:
        self._marks = (first, second)

    def handed(self, before_ns: int, after_ns: int) -> None:
        for mark in self._marks:
            mark.handed(before_ns, after_ns)


def _both(first: Mark | None, second: Mark) -> Mark:
    return second if first is None else _Both(first, second)


def _widened(window: int, increment: int) -> int:
    if increment == 0:
        raise ConnectionBroken(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by zero")
    if window + increment > frames.MAX_WINDOW:
        raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE beyond the largest window")
    return window + increment
