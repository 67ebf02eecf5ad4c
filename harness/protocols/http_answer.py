"""What all answers over HTTP/1.1 have in common: JSON out of events, errors, and how a call ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from harness.protocols.chunks import Chunks
from harness.protocols.failures import is_rejection
from harness.protocols.http_frames import STATUS_OK, HttpCall

DONE = b"[DONE]"

Watch = Callable[[int, bytes], bool]
"""Gets (instant, event) of each event; True ends the call."""
_MOST_SHOWN = 300
_REFUSED = (429, 503)


class Reader(Protocol):
    """What takes the events of one answer."""

    chunks: Chunks
    finished: bool

    def take(self, stamp: int, content: bytes) -> None:
        """The data of one event."""


def data_of(event: bytes) -> bytes:
    """The content of an event's `data` lines; empty for an event without any (a comment that keeps the line open)."""
    if event.startswith(b"data: ") and b"\n" not in event and not event.endswith(b"\r"):
        return event[6:]
    lines = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def contents_of(call: HttpCall) -> list[bytes]:
    """What each event carries, or the whole body; empty for an event without data."""
    return [data_of(event) for event in call.messages] if call.is_events else list(call.messages)


def parsed_all(contents: Sequence[bytes]) -> list[dict[str, Any]]:
    """The JSON objects of many events. Parsed as one list: half the work of parsing them one by one.

    Raises ValueError when one of them is no object.
    """
    values: list[dict[str, Any]]
    try:
        values = json.loads(b"[%b]" % b",".join(contents))
    except ValueError:
        values = []  # the one that is wrong is named below
    if len(values) != len(contents) or not all(isinstance(value, dict) for value in values):
        return [parsed(content) for content in contents]
    return values


def parsed(content: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError when it is none."""
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {content[:60]!r}")
    return value


def error_in(message: dict[str, Any]) -> str | None:
    """The error that this object reports: `{"error": …}` of Triton and OpenAI, or the flat body of trtllm-serve."""
    if "error" in message and message["error"] is not None:
        error = message["error"]
        return str(error.get("message", error)) if isinstance(error, dict) else str(error)
    return str(message.get("message")) if message.get("object") == "error" else None


def until(reader: Reader, tokens: int) -> Watch:
    """A watch that is True at the event with the `tokens`-th output token. It never raises: `decode` will report."""

    def reached(stamp: int, event: bytes) -> bool:
        try:
            reader.take(stamp, data_of(event))
        except Exception:
            return False
        return not reader.finished and reader.chunks.tokens_so_far >= tokens

    return reached


def outcome_of(call: HttpCall, *, started: bool, error: str | None, end_missing: str | None) -> tuple[str, str | None]:
    """(outcome, error text). `started`: output had arrived; `end_missing`: why a complete response is no answer."""
    if call.http_status is not None and call.http_status != 200:
        return _refusal(call)
    if error is not None:
        return ("rejected" if is_rejection(error) else "server_error"), error
    if call.status != STATUS_OK:
        return ("bad_stream" if started or call.http_status else "connect_error"), call.status_message
    return ("ok", None) if end_missing is None else ("bad_stream", end_missing)


def _refusal(call: HttpCall) -> tuple[str, str]:
    """A response with another status than 200; its body says why."""
    body = b"".join(call.messages) or call.partial
    said = _said(body)
    text = f"HTTP {call.status_message if call.status == STATUS_OK else call.http_status}"
    refused = call.http_status in _REFUSED or is_rejection(said)
    return ("rejected" if refused else "server_error"), f"{text}: {said}" if said else text


def _said(body: bytes) -> str:
    try:
        message = error_in(parsed(data_of(body) or body))
    except ValueError:
        message = None
    text = " ".join((message or body.decode(errors="replace")).split())
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
