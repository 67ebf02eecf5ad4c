"""Frames on the engine's Unix socket: a 4-byte big-endian length, then one JSON object in UTF-8.

Pure: bytes in, messages out. The messages themselves are listed in README.md.
"""

from __future__ import annotations

import json
from typing import Any

Message = dict[str, Any]

HEADER_BYTES = 4
LARGEST_FRAME_BYTES = 64 * 1024 * 1024  # a length above this is a broken peer, not a prompt


class BrokenFrame(Exception):
    """The peer sent something that is no frame; the connection cannot be used any further."""


def encode(message: Message) -> bytes:
    """One frame. JSON without spaces: the frame of a step is built once per step and model."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class Frames:
    """Cuts a byte stream into messages; keeps the unfinished rest."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, received: bytes) -> list[Message]:
        """The messages completed by these bytes, in order. Raises BrokenFrame."""
        self._rest += received
        messages, start = [], 0
        while len(self._rest) - start >= HEADER_BYTES:
            length = int.from_bytes(self._rest[start : start + HEADER_BYTES], "big")
            if length > LARGEST_FRAME_BYTES:
                raise BrokenFrame(f"frame of {length} bytes")
            end = start + HEADER_BYTES + length
            if len(self._rest) < end:
                break
            messages.append(self._parse(bytes(self._rest[start + HEADER_BYTES : end])))
            start = end
        del self._rest[:start]
        return messages

    @staticmethod
    def _parse(body: bytes) -> Message:
        try:
            message = json.loads(body)
        except ValueError as problem:
            raise BrokenFrame(f"not JSON: {problem}") from problem
        if not isinstance(message, dict) or "type" not in message:
            raise BrokenFrame("not an object with a type")
        return message
