"""The protobuf wire format (protobuf.dev/programming-guides/encoding), as much of it as Triton's messages need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """A number; negative ones as 64-bit two's complement."""
    if 0 <= value < 128:
        return bytes((value,))
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number(field: int, value: int) -> bytes:
    """An integer, enum or bool field; left out when 0, as proto3 does."""
    return varint(field << 3) + varint(value) if value else b""


def blob(field: int, value: bytes) -> bytes:
    """A bytes or embedded-message field, also when empty."""
    return varint(field << 3 | LENGTH) + varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    """A string field; left out when empty."""
    return blob(field, value.encode()) if value else b""


def numbers(field: int, values: Sequence[int]) -> bytes:
    """A packed repeated integer field; left out when empty."""
    return blob(field, b"".join(map(varint, values))) if values else b""


def entry(field: int, key: str, value: bytes) -> bytes:
    """One entry of a map<string, message> field."""
    return blob(field, text(1, key) + blob(2, value))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (field number, value) pairs of a message in order: int for numbers, bytes for the rest.

    Raises ValueError when the message is damaged.
    """
    position, size = 0, len(message)
    while position < size:
        key, position = _read_varint(message, position)
        kind = key & 7
        if kind == VARINT:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        if kind == LENGTH:
            length, position = _read_varint(message, position)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if position + length > size:
            raise ValueError("the message is cut short")
        yield key >> 3, message[position : position + length]
        position += length


def packed(value: int | bytes) -> list[int]:
    """The numbers of a repeated integer field, whether packed or one by one."""
    if isinstance(value, int):
        return [value]
    values, position = [], 0
    while position < len(value):
        item, position = _read_varint(value, position)
        values.append(item)
    return values


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("a number is cut short")
        byte = message[position]
        position += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, position
        shift += 7
