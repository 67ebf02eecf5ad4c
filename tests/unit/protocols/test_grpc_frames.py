"""The frame core against hand-made HTTP/2 frames, cut at every byte."""

import hpack
import pytest

from harness.protocols import grpc_frames as h2
from harness.protocols.grpc_frames import Call, FrameCore, frame

HEADERS = h2.header_block("/service/Method", "127.0.0.1:1", secure=False)


def _grpc(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _response_headers(stream: int, flags: int = h2.END_HEADERS) -> bytes:
    return frame(h2.HEADERS, flags, stream, b"\x88")  # :status 200, static table


def _trailers(stream: int, status: bytes = b"0", message: bytes = b"") -> bytes:
    block = h2._literal(b"grpc-status", status) + (h2._literal(b"grpc-message", message) if message else b"")
    return frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, block)


def _started() -> tuple[FrameCore, Call, list[str]]:
    core, over = FrameCore(HEADERS), []
    call = Call(lambda: over.append("over"))
    core.start(call, b"request")
    return core, call, over


def test_messages_and_trailers_end_a_call() -> None:
    core, call, over = _started()
    core.feed(_response_headers(1) + frame(h2.DATA, 0, 1, _grpc(b"one") + _grpc(b"two")), 10)
    core.feed(frame(h2.DATA, 0, 1, _grpc(b"three")) + _trailers(1), 20)
    assert call.messages == [b"one", b"two", b"three"]
    assert call.stamps == [10, 10, 20]
    assert (call.status, call.ended_ns, over, core.live) == (0, 20, ["over"], {})


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11])
def test_any_split_of_the_bytes_gives_the_same_messages(size: int) -> None:
    core, call, over = _started()
    wire = (
        _response_headers(1)
        + frame(h2.DATA, 0, 1, _grpc(b"x" * 300)[:100])
        + frame(h2.DATA, h2.PADDED, 1, b"\x03" + _grpc(b"x" * 300)[100:] + b"\0\0\0")
        + frame(h2.DATA, 0, 1, _grpc(b"") + _grpc(b"end"))
        + _trailers(1)
    )
    for start in range(0, len(wire), size):
        core.feed(wire[start : start + size], start)
    assert call.messages == [b"x" * 300, b"", b"end"]
    assert over == ["over"]


def test_a_stream_that_ends_on_data_without_trailers_is_an_internal_error() -> None:
    core, call, over = _started()
    core.feed(_response_headers(1) + frame(h2.DATA, h2.END_STREAM, 1, _grpc(b"one")), 5)
    assert (call.status, over) == (h2.STATUS_INTERNAL, ["over"])
    assert "without trailers" in call.status_message


def test_grpc_errors_keep_code_and_message() -> None:
    core, call, _ = _started()
    core.feed(_trailers(1, b"8", b"too many"), 5)
    assert (call.status, call.status_message) == (8, "too many")


def test_an_http_error_of_a_proxy_is_reported() -> None:
    core, call, _ = _started()
    core.feed(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, h2._literal(b":status", b"401")), 5)
    assert (call.status, call.http_status, call.status_message) == (h2.STATUS_UNKNOWN, "401", "HTTP 401")


def test_continuation_frames_are_joined() -> None:
    core, call, over = _started()
    block = h2._literal(b"grpc-status", b"0")
    core.feed(frame(h2.HEADERS, h2.END_STREAM, 1, block[:5]), 1)
    assert over == []
    core.feed(frame(h2.CONTINUATION, h2.END_HEADERS, 1, block[5:]), 2)
    assert (call.status, over) == (0, ["over"])


def test_a_reset_ends_only_its_stream() -> None:
    core = FrameCore(HEADERS)
    first, second = Call(lambda: None), Call(lambda: None)
    core.start(first, b"a")
    core.start(second, b"b")
    core.feed(frame(h2.RST_STREAM, 0, 1, (11).to_bytes(4, "big")), 3)
    assert (first.status, first.reset_code, second.status) == (h2.STATUS_INTERNAL, 11, None)
    assert list(core.live) == [3]


def test_goaway_ends_the_streams_the_server_never_saw() -> None:
    core = FrameCore(HEADERS)
    first, second = Call(lambda: None), Call(lambda: None)
    core.start(first, b"a")
    core.start(second, b"b")
    core.feed(frame(h2.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)), 3)
    assert (first.status, second.status) == (None, h2.STATUS_UNAVAILABLE)
    assert not core.has_room


def test_settings_with_private_ids_do_not_change_the_stream_limit() -> None:
    core = FrameCore(HEADERS)
    answer = core.feed(frame(h2.SETTINGS, 0, 0, h2._setting(0xFE03, 1)), 1)
    assert (core.max_streams, answer) == (h2.UNLIMITED, frame(h2.SETTINGS, h2.ACK, 0, b""))
    core.feed(frame(h2.SETTINGS, 0, 0, h2._setting(h2.MAX_CONCURRENT_STREAMS, 128)), 1)
    assert core.max_streams == 128


def test_pings_are_answered() -> None:
    assert FrameCore(HEADERS).feed(frame(h2.PING, 0, 0, b"12345678"), 1) == frame(h2.PING, h2.ACK, 0, b"12345678")


def _data_sent(wire: bytes) -> tuple[int, bool]:
    """(payload bytes in DATA frames, whether the stream was half-closed)."""
    total, ended, position = 0, False, 0
    while position < len(wire):
        size = int.from_bytes(wire[position : position + 3], "big")
        if wire[position + 3] == h2.DATA:
            total += size
            ended = ended or bool(wire[position + 4] & h2.END_STREAM)
        position += 9 + size
    return total, ended


def test_a_long_request_waits_for_the_servers_flow_control() -> None:
    core, call = FrameCore(HEADERS), Call(lambda: None)
    sent, ended = _data_sent(core.start(call, b"x" * 200_000))
    assert (sent, ended) == (h2.DEFAULT_SEND_WINDOW, False)
    more = core.feed(frame(h2.WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big")), 1)
    assert _data_sent(more) == (0, False)  # the stream's own window is still shut
    more = core.feed(frame(h2.WINDOW_UPDATE, 0, 1, (1 << 20).to_bytes(4, "big")), 1)
    assert _data_sent(more) == (200_005 - h2.DEFAULT_SEND_WINDOW, True)


def test_a_lost_connection_ends_all_calls() -> None:
    core, call, over = _started()
    core.lost(9, "connection reset")
    assert (call.status, call.status_message, call.ended_ns, over) == (
        h2.STATUS_UNAVAILABLE,
        "connection reset",
        9,
        ["over"],
    )


def test_a_cancelled_call_is_forgotten_and_the_server_told() -> None:
    core, call, over = _started()
    assert core.cancel(call) == frame(h2.RST_STREAM, 0, 1, h2.CANCEL.to_bytes(4, "big"))
    core.feed(frame(h2.DATA, 0, 1, _grpc(b"late")), 5)
    assert (call.messages, over, core.cancel(call)) == ([], [], b"")


def test_metadata_travels_in_every_header_block_however_long() -> None:
    block = h2.header_block("/s/M", "host:1", secure=True, metadata=[("authorization", "Bearer " + "x" * 500)])
    fields = dict(hpack.Decoder().decode(block))
    assert fields["authorization"] == "Bearer " + "x" * 500
    assert (fields[":scheme"], fields[":path"], fields[":authority"]) == ("https", "/s/M", "host:1")
    assert (fields["te"], fields["content-type"]) == ("trailers", "application/grpc")
