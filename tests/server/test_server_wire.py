"""Frames on the engine's socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import HEADER_BYTES, LARGEST_FRAME_BYTES, BrokenFrame, Frames, encode

MESSAGES = st.lists(
    st.fixed_dictionaries({"type": st.text(max_size=5), "rows": st.lists(st.integers(), max_size=5)}), max_size=6
)


@given(MESSAGES, st.integers(1, 7))
def test_messages_survive_any_fragmentation(messages: list[dict[str, object]], piece: int) -> None:
    stream = b"".join(encode(message) for message in messages)
    frames, received = Frames(), []
    for start in range(0, len(stream), piece):
        received += frames.feed(stream[start : start + piece])
    assert received == messages


@pytest.mark.parametrize(
    "broken",
    [
        (LARGEST_FRAME_BYTES + 1).to_bytes(HEADER_BYTES, "big"),
        b"\0\0\0\x03abc",
        b"\0\0\0\x02[]",
        b"\0\0\0\x02{}",
    ],
)
def test_what_is_no_message_breaks_the_connection(broken: bytes) -> None:
    with pytest.raises(BrokenFrame):
        Frames().feed(broken)
