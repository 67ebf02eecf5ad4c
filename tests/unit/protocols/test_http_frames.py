"""The HTTP/1.1 core: the same response in any pieces, and the ways in which one can end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.protocols.http_frames import STATUS_OK, HttpCall, HttpCore

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = [b"data: one", b"data: two\nid: 2", b"data: " + b"x" * 300, b"data: 4"]


def _chunked(*contents: bytes) -> bytes:
    return b"".join(b"%x;name=value\r\n%b\r\n" % (len(content), content) for content in contents)


def _fed(pieces: list[bytes]) -> tuple[HttpCore, HttpCall, list[int]]:
    ended: list[int] = []
    core, call = HttpCore(), HttpCall(lambda: ended.append(1))
    core.start(call, b"GET")
    for instant, piece in enumerate(pieces, start=1):
        core.feed(piece, instant)
    return core, call, ended


@given(st.data())
def test_a_chunked_stream_cut_anywhere_gives_the_same_events(data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n"]))
    body = b"".join(event.replace(b"\n", separator[: len(separator) // 2]) + separator for event in EVENTS)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    contents = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]
    raw = HEAD + _chunked(*contents) + b"0\r\nTrailer: x\r\n\r\n"
    ends = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    pieces = [raw[a:b] for a, b in zip([0, *ends], [*ends, len(raw)], strict=True) if b > a]
    core, call, ended = _fed(pieces)
    assert [event.replace(b"\r\n", b"\n") for event in call.messages] == EVENTS
    assert call.stamps == sorted(call.stamps)
    assert (call.status, call.ended_ns, ended) == (STATUS_OK, len(pieces), [1])
    assert not core.must_close
    assert core.call is None


def test_events_of_one_packet_share_its_instant() -> None:
    body = b"data: a\n\ndata: b\n\n"
    _, call, _ = _fed([HEAD, _chunked(body[:9]), _chunked(body[9:]) + b"0\r\n\r\n"])
    assert (call.messages, call.stamps) == ([b"data: a", b"data: b"], [2, 3])


def test_a_connection_is_used_again_after_the_end() -> None:
    core, _, _ = _fed([HEAD + _chunked(b"data: a\n\n") + b"0\r\n\r\n"])
    second = HttpCall(lambda: None)
    core.start(second, b"GET")
    core.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nfull", 9)
    assert (second.http_status, second.messages, second.stamps) == (429, [b"full"], [9])
    assert not core.must_close


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    core, call, ended = _fed([b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n"])
    assert (ended, core.must_close) == ([], True)
    core.lost(7, "closed")
    assert (call.status, call.lost, call.ended_ns, ended) == (STATUS_OK, False, 7, [1])


def test_a_chunked_body_that_ends_with_the_connection_was_cut() -> None:
    core, call, ended = _fed([HEAD + _chunked(b"data: a\n\n")])
    core.lost(7, "closed")
    assert (call.lost, call.status_message, call.messages, ended) == (True, "closed", [b"data: a"], [1])


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
def test_a_connection_that_the_server_will_close_is_not_used_again(head: bytes) -> None:
    core, call, _ = _fed([head + b"Content-Length: 0\r\n\r\n"])
    assert (call.status, core.must_close) == (STATUS_OK, True)


def test_what_is_no_http_is_refused() -> None:
    with pytest.raises(ValueError, match=r"HTTP/1\.1"):
        _fed([b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" * 2])


def test_a_watch_ends_the_call_at_its_event_and_the_connection_with_it() -> None:
    core, call, ended = HttpCore(), None, []
    seen: list[bytes] = []
    call = HttpCall(lambda: ended.append(1), lambda _, event: bool(seen.append(event)) or len(seen) == 2)
    core.start(call, b"GET")
    core.feed(HEAD + _chunked(b"data: a\n\ndata: b\n\ndata: c\n\n"), 5)
    assert (call.messages, call.stopped_by_watch, call.ended_ns) == ([b"data: a", b"data: b"], True, 5)
    assert (ended, core.must_close, core.call) == ([1], True, None)
