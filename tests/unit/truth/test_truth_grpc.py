"""gRPC framing and header blocks, read back with hpack as an independent decoder."""

from __future__ import annotations

from urllib.parse import unquote

import hpack
import pytest

from harness.truth import grpc
from harness.truth.grpc import GrpcError, MessageReader, Status


def test_messages_are_found_wherever_the_data_frames_are_cut() -> None:
    sent = grpc.frame_message(b"one") + grpc.frame_message(b"") + grpc.frame_message(b"three")
    reader = MessageReader()
    assert [message for byte in sent for message in reader.feed(bytes([byte]))] == [b"one", b"", b"three"]
    assert reader.is_between_messages
    reader.feed(b"\0")
    assert not reader.is_between_messages


def test_a_compressed_message_is_refused() -> None:
    with pytest.raises(GrpcError, match="compressed"):
        MessageReader().feed(b"\x01\0\0\0\0")


@pytest.mark.parametrize("message", ["plain", "100 % ~ ", "über\nzwei Zeilen", "x" * 5000])
def test_trailers_carry_status_and_percent_encoded_message(message: str) -> None:
    headers = dict(hpack.Decoder().decode(grpc.trailers(Status.UNAVAILABLE, message, only=True)))
    assert (headers[":status"], headers["grpc-status"]) == ("200", "14")
    assert headers["grpc-message"].isascii()
    assert "\n" not in headers["grpc-message"]
    assert unquote(headers["grpc-message"]) == message


def test_response_headers_and_the_answer_to_what_is_no_grpc_are_valid_blocks() -> None:
    assert hpack.Decoder().decode(grpc.response_headers()) == [(":status", "200"), ("content-type", "application/grpc")]
    assert hpack.Decoder().decode(grpc.not_grpc()) == [(":status", "415")]
