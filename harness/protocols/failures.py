"""Words by which servers say that they refuse a request for want of room, whatever the protocol."""

from __future__ import annotations

_REJECTIONS = ("exceeds maximum queue size", "queue is full", "resource exhausted", "too many requests")


def is_rejection(message: str) -> bool:
    """Whether a server's message says that it had no room for the request; other errors are the server's own."""
    lowered = message.lower()
    return any(text in lowered for text in _REJECTIONS)
