"""One HTTP/2 connection, server side (RFC 9113 §5, §6): received bytes in, events out. No socket, no clock.

What it answers by itself (SETTINGS, PING, window grants, GOAWAY) goes into `outgoing`, beside what the calls send.
"""

from __future__ import annotations

from dataclasses import dataclass

import hpack

from harness.truth import frames
from harness.truth.frames import Code, ConnectionBroken, Frame, Setting
from harness.truth.outgoing import RECEIVE_WINDOW, Outgoing, Stream

CONNECTION_RECEIVE_WINDOW = 1 << 24
MAX_HEADER_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A stream's header block is complete."""

    stream_id: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class BytesReceived:
    """Content of a DATA frame, padding removed."""

    stream_id: int
    content: bytes


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """The client closed its half of the stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The client cancelled the stream."""

    stream_id: int
    code: int


Event = RequestStarted | BytesReceived | RequestEnded | StreamReset


class Connection:
    """The state of one connection."""

    def __init__(self, max_concurrent_streams: int | None = None) -> None:
        self.outgoing = Outgoing()
        self.broken = False
        self.streams_opened = 0
        self._reader = frames.FrameReader()
        self._decoder = hpack.Decoder(max_header_list_size=MAX_HEADER_BLOCK)
        self._streams = self.outgoing.streams
        self._last_stream_id = 0
        self._block: tuple[Frame, bytearray] | None = None
        self._max_concurrent = max_concurrent_streams
        self._going_away = False
        self._receive_window = CONNECTION_RECEIVE_WINDOW
        self._greet()

    def receive(self, received: bytes) -> list[Event]:
        """What `received` means. A violation of the protocol queues a GOAWAY and sets `broken`."""
        events: list[Event] = []
        try:
            for frame in self._reader.feed(received):
                self._on_frame(frame, events)
        except ConnectionBroken as error:
            self.go_away(error.code, error.reason)
            self.broken = True
        return events

    def _on_frame(self, frame: Frame, events: list[Event]) -> None:
        if self._block is not None and (
            frame.type != frames.CONTINUATION or frame.stream_id != self._block[0].stream_id
        ):
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "a header block was interrupted")
        if frame.type == frames.DATA:
            self._on_data(frame, events)
        elif frame.type == frames.HEADERS:
            self._on_headers(frame, events)
        elif frame.type == frames.CONTINUATION:
            self._on_continuation(frame, events)
        elif frame.type == frames.WINDOW_UPDATE:
            self._on_window_update(frame)
        elif frame.type == frames.SETTINGS:
            self._on_settings(frame)
        elif frame.type == frames.RST_STREAM:
            self._on_reset(frame, events)
        elif frame.type == frames.PING:
            self._on_ping(frame)
        elif frame.type == frames.PUSH_PROMISE:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "a client must not push")

    def _on_data(self, frame: Frame, events: list[Event]) -> None:
        self._require_opened(frame)
        self._receive_window -= len(frame.payload)
        if self._receive_window < 0:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, "the connection's window was exceeded")
        if self._receive_window < CONNECTION_RECEIVE_WINDOW // 2:
            self.outgoing.write(frames.pack_window_update(0, CONNECTION_RECEIVE_WINDOW - self._receive_window))
            self._receive_window = CONNECTION_RECEIVE_WINDOW
        content = frames.content(frame)
        stream = self._streams.get(frame.stream_id)
        if stream is None:  # we ended it already; the client may not know yet
            return
        if stream.client_closed:
            self.outgoing.drop(frame.stream_id)
            self.outgoing.write(frames.pack(frames.RST_STREAM, 0, frame.stream_id, frames.number(Code.STREAM_CLOSED)))
            events.append(StreamReset(frame.stream_id, Code.STREAM_CLOSED))
            return
        self._grant(frame, stream)
        if content:
            events.append(BytesReceived(frame.stream_id, content))
        self._close_client_half(frame, stream, events)

    def _grant(self, frame: Frame, stream: Stream) -> None:
        stream.receive_window -= len(frame.payload)
        if stream.receive_window < 0:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, f"the window of stream {frame.stream_id} was exceeded")
        if stream.receive_window < RECEIVE_WINDOW // 2 and not frame.flags & frames.END_STREAM:
            self.outgoing.write(frames.pack_window_update(frame.stream_id, RECEIVE_WINDOW - stream.receive_window))
            stream.receive_window = RECEIVE_WINDOW

    def _on_headers(self, frame: Frame, events: list[Event]) -> None:
        self._block = (frame, bytearray(frames.content(frame)))
        if frame.flags & frames.END_HEADERS:
            self._finish_block(events)

    def _on_continuation(self, frame: Frame, events: list[Event]) -> None:
        if self._block is None:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block[1].extend(frame.payload)
        if len(self._block[1]) > MAX_HEADER_BLOCK:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "the header block is too long")
        if frame.flags & frames.END_HEADERS:
            self._finish_block(events)

    def _finish_block(self, events: list[Event]) -> None:
        assert self._block is not None
        frame, block = self._block
        self._block = None
        headers = self._decode(bytes(block))
        stream = self._streams.get(frame.stream_id)
        if stream is None and frame.stream_id > self._last_stream_id:
            stream = self._open(frame.stream_id)
            if stream is not None:
                events.append(RequestStarted(frame.stream_id, headers))
        if stream is not None:
            self._close_client_half(frame, stream, events)

    def _decode(self, block: bytes) -> dict[str, str]:
        try:
            pairs = self._decoder.decode(block, raw=True)
        except hpack.HPACKError as error:
            raise ConnectionBroken(Code.COMPRESSION_ERROR, f"the header block cannot be decoded: {error}") from error
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}

    def _open(self, stream_id: int) -> Stream | None:
        """A new stream; None when it is refused."""
        if stream_id % 2 == 0:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "a client's stream must have an odd number")
        full = self._max_concurrent is not None and len(self._streams) >= self._max_concurrent
        if full or self._going_away:
            self._last_stream_id = stream_id
            self.outgoing.write(frames.pack(frames.RST_STREAM, 0, stream_id, frames.number(Code.REFUSED_STREAM)))
            return None
        self._last_stream_id = stream_id
        self.streams_opened += 1
        return self.outgoing.open(stream_id)

    def _close_client_half(self, frame: Frame, stream: Stream, events: list[Event]) -> None:
        if frame.flags & frames.END_STREAM and not stream.client_closed:
            stream.client_closed = True
            events.append(RequestEnded(frame.stream_id))

    def _on_window_update(self, frame: Frame) -> None:
        increment = frames.read_number(frame) & frames.MAX_WINDOW
        if frame.stream_id:
            self._require_opened(frame)
        self.outgoing.widen(frame.stream_id, increment)

    def _on_settings(self, frame: Frame) -> None:
        if frame.stream_id:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if frame.flags & frames.ACK:
            return
        for number, value in frames.read_settings(frame.payload):
            if number == Setting.INITIAL_WINDOW_SIZE:
                self.outgoing.change_initial_window(value)
            elif number == Setting.MAX_FRAME_SIZE:
                if not frames.DEFAULT_MAX_FRAME <= value < 1 << 24:
                    raise ConnectionBroken(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE {value}")
                self.outgoing.max_frame = value
        self.outgoing.write(frames.pack(frames.SETTINGS, frames.ACK, 0))
        self.outgoing.send_waiting()

    def _on_reset(self, frame: Frame, events: list[Event]) -> None:
        self._require_opened(frame)
        code = frames.read_number(frame)
        if frame.stream_id in self._streams:
            self.outgoing.drop(frame.stream_id)
            events.append(StreamReset(frame.stream_id, code))

    def _on_ping(self, frame: Frame) -> None:
        if len(frame.payload) != 8:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "PING must carry eight bytes")
        if not frame.flags & frames.ACK:
            self.outgoing.write(frames.pack(frames.PING, frames.ACK, 0, frame.payload))

    def _require_opened(self, frame: Frame) -> None:
        if frame.stream_id == 0 or frame.stream_id > self._last_stream_id:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"frame type {frame.type} on idle stream {frame.stream_id}")

    def go_away(self, code: Code = Code.NO_ERROR, reason: str = "") -> None:
        """GOAWAY: streams that are open go on, new ones are refused."""
        self._going_away = True
        payload = frames.number(self._last_stream_id) + frames.number(code) + reason.encode()
        self.outgoing.write(frames.pack(frames.GOAWAY, 0, 0, payload))

    @property
    def is_going_away(self) -> bool:
        """Whether GOAWAY was sent."""
        return self._going_away

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen: broken, or going away without a stream left, and all bytes taken."""
        return not self.outgoing.out and (self.broken or (self._going_away and not self._streams))

    def _greet(self) -> None:
        settings = {Setting.INITIAL_WINDOW_SIZE: RECEIVE_WINDOW, Setting.GRPC_TRUE_BINARY_METADATA: 1}
        if self._max_concurrent is not None:
            settings[Setting.MAX_CONCURRENT_STREAMS] = self._max_concurrent
        self.outgoing.write(frames.pack_settings({int(number): value for number, value in settings.items()}))
        self.outgoing.write(frames.pack_window_update(0, CONNECTION_RECEIVE_WINDOW - frames.DEFAULT_WINDOW))
