"""The three pieces of protobuf's wire format that a request needs, written by hand: it is built once per request, fast.

Wire format: https://protobuf.dev/programming-guides/encoding (varint, length-delimited fields).
"""

from __future__ import annotations


def varint(value: int) -> bytes:
    """A base-128 varint; negative numbers as 64-bit two's complement."""
    value &= (1 << 64) - 1
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(field: int, payload: bytes) -> bytes:
    """A length-delimited field: string, bytes, message or packed list."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def read_varint(buffer: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it). Raises IndexError on a truncated buffer."""
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
