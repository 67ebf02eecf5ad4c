"""The truth server's HTTP/2 frames."""

from __future__ import annotations

import pytest

from harness.truth import frames
from harness.truth.frames import Code, ConnectionBroken, Frame, FrameReader


def test_frames_survive_being_received_byte_by_byte() -> None:
    sent = frames.pack(frames.HEADERS, frames.END_HEADERS, 7, b"block") + frames.pack(frames.DATA, 1, 7, b"x" * 300)
    reader = FrameReader()
    received = [frame for byte in frames.PREFACE + sent for frame in reader.feed(bytes([byte]))]
    assert received == [
        Frame(frames.HEADERS, frames.END_HEADERS, 7, b"block"),
        Frame(frames.DATA, frames.END_STREAM, 7, b"x" * 300),
    ]


def test_a_client_that_speaks_http_1_is_refused_at_its_first_wrong_byte() -> None:
    with pytest.raises(ConnectionBroken):
        FrameReader().feed(b"POST / HTTP/1.1\r\n")


def test_a_frame_longer_than_agreed_is_refused_before_its_payload_came() -> None:
    header = frames.pack_header(frames.DEFAULT_MAX_FRAME + 1, frames.DATA, 0, 1)
    with pytest.raises(ConnectionBroken) as broken:
        FrameReader().feed(frames.PREFACE + header)
    assert broken.value.code is Code.FRAME_SIZE_ERROR


def test_the_reserved_bit_of_a_stream_id_is_ignored() -> None:
    reader = FrameReader()
    (frame,) = reader.feed(frames.PREFACE + frames.pack(frames.PING, 0, 1 << 31 | 5, b"12345678"))
    assert frame.stream_id == 5


@pytest.mark.parametrize(
    ("frame_type", "flags", "payload", "expected"),
    [
        (frames.DATA, 0, b"abc", b"abc"),
        (frames.DATA, frames.PADDED, b"\x02abc\0\0", b"abc"),
        (frames.DATA, frames.PADDED, b"\x03\0\0\0", b""),
        (frames.HEADERS, frames.PRIORITY_FLAG, b"12345abc", b"abc"),
        (frames.HEADERS, frames.PRIORITY_FLAG | frames.PADDED, b"\x0112345abc\0", b"abc"),
    ],
)
def test_padding_and_priority_are_removed(frame_type: int, flags: int, payload: bytes, expected: bytes) -> None:
    assert frames.content(Frame(frame_type, flags, 1, payload)) == expected


@pytest.mark.parametrize("payload", [b"", b"\x04abc"])
def test_padding_longer_than_the_frame_breaks_the_connection(payload: bytes) -> None:
    with pytest.raises(ConnectionBroken):
        frames.content(Frame(frames.DATA, frames.PADDED, 1, payload))


def test_settings_have_identifiers_of_two_bytes() -> None:
    packed = frames.pack_settings({0xFE03: 1, frames.Setting.MAX_CONCURRENT_STREAMS: 9})
    assert frames.read_settings(packed[frames.HEADER_SIZE :]) == [(0xFE03, 1), (3, 9)]
