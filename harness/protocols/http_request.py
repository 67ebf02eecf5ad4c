"""HTTP/1.1 request bytes: everything that is the same in all requests of a task is joined once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.protocols.encoder import Header, RequestOptions

REQUEST_ID = "X-Request-Id"


class RequestHead:
    """Writes the head of POST requests to one path. Header names and values were checked by the scenario."""

    def __init__(self, options: RequestOptions, path: str) -> None:
        fields = [
            ("Host", options.authority),
            ("User-Agent", "triton-llm-harness"),
            ("Accept", "text/event-stream" if options.streamed else "application/json"),
            ("Content-Type", "application/json"),
            *options.headers.items(),
        ]
        first = f"POST {options.base_path.rstrip('/')}{path} HTTP/1.1"
        lines = [first, *(f"{name}: {value}" for name, value in fields)]
        self._same = "".join(f"{line}\r\n" for line in lines).encode("latin-1")

    def request(self, request_id: str, body: bytes, extra: Sequence[Header]) -> bytes:
        """One request with its JSON body."""
        own = "".join(f"{name}: {value}\r\n" for name, value in ((REQUEST_ID, request_id), *extra))
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._same, own.encode("latin-1"), len(body), body)


def json_fields(fields: dict[str, Any]) -> bytes:
    """The members of a JSON object without the braces, to be joined with others."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


def json_object(*members: bytes) -> bytes:
    """The object with these members (each as `json_fields` gives them; empty ones are left out)."""
    return b"{" + b",".join(member for member in members if member) + b"}"


def body_of(request: bytes) -> dict[str, Any]:
    """The JSON body of a request's bytes."""
    body: dict[str, Any] = json.loads(request.partition(b"\r\n\r\n")[2])
    return body
