"""The truth server's HTTP/2 connection, fed by a client that is a few lines of bytes."""

from __future__ import annotations

import hpack
import pytest

from harness.truth import frames, grpc
from harness.truth.connection import (
    BytesReceived,
    Connection,
    RequestEnded,
    RequestStarted,
    StreamReset,
)
from harness.truth.frames import Code, Frame, FrameReader, Setting
from harness.truth.grpc import Status
from harness.truth.outgoing import RECEIVE_WINDOW


class Client:
    """The other end: encodes requests with hpack, splits what the server sends."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events = connection.receive(frames.PREFACE)
        self._reader = FrameReader(max_frame=1 << 24)
        self._reader.feed(frames.PREFACE)
        self._encoder = hpack.Encoder()
        self.greeting = self.sent()

    def block(self) -> bytes:
        return self._encoder.encode([(":method", "POST"), (":path", "/x"), ("content-type", "application/grpc")])

    def send(self, *packed: bytes) -> None:
        self.events += self.connection.receive(b"".join(packed))

    def open(self, stream_id: int) -> None:
        self.send(frames.pack(frames.HEADERS, frames.END_HEADERS, stream_id, self.block()))

    def sent(self) -> list[Frame]:
        sent = bytes(self.connection.outgoing.out)
        self.connection.outgoing.passed(len(sent))
        return self._reader.feed(sent)

    def data(self) -> list[tuple[int, bytes]]:
        return [(frame.stream_id, frame.payload) for frame in self.sent() if frame.type == frames.DATA]


class Recorder:
    def __init__(self) -> None:
        self.instants: list[tuple[int, int]] = []

    def handed(self, before_ns: int, after_ns: int) -> None:
        self.instants.append((before_ns, after_ns))


@pytest.fixture
def client() -> Client:
    return Client(Connection())


def test_the_server_greets_with_settings_and_a_wider_window(client: Client) -> None:
    assert [frame.type for frame in client.greeting] == [frames.SETTINGS, frames.WINDOW_UPDATE]


def test_a_request_in_one_piece_is_started_filled_and_ended(client: Client) -> None:
    client.open(1)
    client.send(frames.pack(frames.DATA, frames.END_STREAM | frames.PADDED, 1, b"\x01hi\0"))
    started, received, ended = client.events
    assert isinstance(started, RequestStarted)
    assert started.headers[":path"] == "/x"
    assert (received, ended) == (BytesReceived(1, b"hi"), RequestEnded(1))


def test_a_header_block_may_be_spread_over_continuation_frames(client: Client) -> None:
    block = client.block()
    client.send(frames.pack(frames.HEADERS, frames.END_STREAM, 1, block[:3]))
    client.send(frames.pack(frames.CONTINUATION, 0, 1, block[3:5]))
    assert client.events == []
    client.send(frames.pack(frames.CONTINUATION, frames.END_HEADERS, 1, block[5:]))
    assert [type(event) for event in client.events] == [RequestStarted, RequestEnded]


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (frames.pack(frames.PING, 0, 0, b"12345678"), Code.PROTOCOL_ERROR),
        (frames.pack(frames.CONTINUATION, frames.END_HEADERS, 3, b""), Code.PROTOCOL_ERROR),
    ],
)
def test_nothing_may_come_between_the_parts_of_a_header_block(client: Client, packed: bytes, code: Code) -> None:
    client.send(frames.pack(frames.HEADERS, 0, 1, client.block()), packed)
    assert client.connection.broken
    (goodbye,) = client.sent()
    assert (goodbye.type, goodbye.payload[4:8]) == (frames.GOAWAY, int(code).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "packed",
    [
        frames.pack(frames.DATA, 0, 1, b"x"),
        frames.pack(frames.HEADERS, frames.END_HEADERS, 2, b""),
        frames.pack(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        frames.pack(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        frames.pack(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
        frames.pack(frames.SETTINGS, 0, 0, b"12345"),
        frames.pack(frames.PUSH_PROMISE, 0, 1, b""),
        frames.pack(frames.RST_STREAM, 0, 1, b"\0\0\0\0"),
    ],
)
def test_a_violation_of_the_protocol_breaks_the_connection(client: Client, packed: bytes) -> None:
    client.send(packed)
    assert client.connection.broken


def test_ping_is_answered_with_the_same_bytes_and_an_answer_is_not(client: Client) -> None:
    client.send(frames.pack(frames.PING, 0, 0, b"12345678"), frames.pack(frames.PING, frames.ACK, 0, b"87654321"))
    assert client.sent() == [Frame(frames.PING, frames.ACK, 0, b"12345678")]


def test_data_waits_for_the_stream_window_and_trailers_wait_behind_it(client: Client) -> None:
    client.send(frames.pack_settings({Setting.INITIAL_WINDOW_SIZE: 4}))
    client.open(1)
    client.connection.outgoing.send_data(1, b"abcdef")
    client.connection.outgoing.send_headers(1, grpc.trailers(Status.OK), end=True)
    assert client.data() == [(1, b"abcd")]
    client.send(frames.pack_window_update(1, 1))
    assert client.data() == [(1, b"e")]
    client.send(frames.pack_window_update(1, 100))
    assert [frame.type for frame in client.sent()] == [frames.DATA, frames.HEADERS, frames.RST_STREAM]


def test_the_connection_window_is_shared_by_all_streams_in_turn(client: Client) -> None:
    client.open(1)
    client.open(3)
    client.connection.outgoing.send_data(1, b"x" * (frames.DEFAULT_WINDOW - 10))
    client.sent()
    for stream_id in (1, 3):
        client.connection.outgoing.send_data(stream_id, b"y" * 20)
    assert sum(len(content) for _, content in client.data()) == 10
    client.send(frames.pack_window_update(1, 1000), frames.pack_window_update(0, 1000))
    assert {stream_id for stream_id, _ in client.data()} == {1, 3}


def test_a_smaller_initial_window_makes_open_streams_owe_bytes(client: Client) -> None:
    client.open(1)
    client.connection.outgoing.send_data(1, b"x" * 100)
    client.sent()
    client.send(frames.pack_settings({Setting.INITIAL_WINDOW_SIZE: 90}))
    client.connection.outgoing.send_data(1, b"y")
    assert client.data() == []
    client.send(frames.pack_window_update(1, 10))
    assert client.data() == []
    client.send(frames.pack_window_update(1, 1))
    assert client.data() == [(1, b"y")]


def test_an_empty_frame_that_ends_a_stream_needs_no_window(client: Client) -> None:
    client.send(frames.pack_settings({Setting.INITIAL_WINDOW_SIZE: 0}))
    client.open(1)
    client.connection.outgoing.send_data(1, b"", end=True)
    assert client.data() == [(1, b"")]


def test_an_empty_frame_is_sent_even_when_the_stream_owes_bytes(client: Client) -> None:
    client.open(1)
    client.connection.outgoing.send_data(1, b"x" * 100)
    client.send(frames.pack_settings({Setting.INITIAL_WINDOW_SIZE: 0}))
    client.connection.outgoing.send_data(1, b"", end=True)
    assert client.data()[-1] == (1, b"")


def test_data_is_split_at_the_frame_size_of_the_peer(client: Client) -> None:
    client.open(1)
    client.connection.outgoing.send_data(1, b"x" * (frames.DEFAULT_MAX_FRAME + 1), end=True)
    sizes = [(len(frame.payload), frame.flags) for frame in client.sent() if frame.type == frames.DATA]
    assert sizes == [(frames.DEFAULT_MAX_FRAME, 0), (1, frames.END_STREAM)]


def test_a_mark_is_told_about_the_system_call_that_took_the_last_byte(client: Client) -> None:
    client.open(1)
    first, second = Recorder(), Recorder()
    client.connection.outgoing.send_data(1, b"abc", mark=first)
    client.connection.outgoing.send_data(1, b"def", mark=second)
    frame_size = frames.HEADER_SIZE + 3
    assert client.connection.outgoing.passed(frame_size - 1) == []
    assert client.connection.outgoing.passed(1) == [first]
    assert client.connection.outgoing.passed(frame_size) == [second]


def test_data_that_waits_for_a_window_keeps_its_mark(client: Client) -> None:
    client.send(frames.pack_settings({Setting.INITIAL_WINDOW_SIZE: 2}))
    client.open(1)
    mark = Recorder()
    client.connection.outgoing.send_data(1, b"abc", mark=mark)
    assert client.connection.outgoing.passed(len(client.connection.outgoing.out)) == []
    client.send(frames.pack_window_update(1, 1))
    assert client.connection.outgoing.passed(len(client.connection.outgoing.out)) == [mark]


def test_received_bytes_are_granted_again_before_the_window_is_used_up(client: Client) -> None:
    client.open(1)
    piece = frames.pack(frames.DATA, 0, 1, b"x" * frames.DEFAULT_MAX_FRAME)
    pieces = 3 * RECEIVE_WINDOW // frames.DEFAULT_MAX_FRAME
    granted = RECEIVE_WINDOW
    for _ in range(pieces):
        client.send(piece)
        granted -= frames.DEFAULT_MAX_FRAME
        updates = [frame for frame in client.sent() if frame.type == frames.WINDOW_UPDATE and frame.stream_id == 1]
        granted += sum(int.from_bytes(frame.payload, "big") for frame in updates)
        assert 0 < granted <= RECEIVE_WINDOW
    assert not client.connection.broken


def test_a_cancel_drops_what_waits_and_is_reported_once(client: Client) -> None:
    client.send(frames.pack_settings({Setting.INITIAL_WINDOW_SIZE: 0}))
    client.open(1)
    client.connection.outgoing.send_data(1, b"never")
    cancel = frames.pack(frames.RST_STREAM, 0, 1, int(Code.CANCEL).to_bytes(4, "big"))
    client.send(cancel, cancel, frames.pack_window_update(1, 100))
    assert [event for event in client.events if isinstance(event, StreamReset)] == [StreamReset(1, Code.CANCEL)]
    assert client.data() == []


def test_streams_beyond_the_limit_are_refused_and_those_within_go_on() -> None:
    client = Client(Connection(max_concurrent_streams=1))
    client.open(1)
    client.open(3)
    refused = Frame(frames.RST_STREAM, 0, 3, int(Code.REFUSED_STREAM).to_bytes(4, "big"))
    assert client.sent() == [refused]
    client.connection.outgoing.send_data(1, b"on", end=True)
    assert client.data() == [(1, b"on")]


def test_after_goaway_open_streams_finish_and_new_ones_are_refused(client: Client) -> None:
    client.open(1)
    client.connection.go_away()
    client.open(3)
    assert [frame.type for frame in client.sent()] == [frames.GOAWAY, frames.RST_STREAM]
    assert not client.connection.is_over
    client.connection.outgoing.send_headers(1, grpc.trailers(Status.OK), end=True)
    client.sent()
    assert client.connection.is_over
