"""Questions to a server over HTTP/1.1, outside the measured path: one GET each, JSON back.

A part that the server does not tell gets its reason; what makes measuring impossible raises TargetNotReady.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from harness.errors import TargetNotReady
from harness.target.endpoint import Endpoint
from harness.target.reach import split_url, tls_context

CALL_S = 5.0
_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class HttpAnswer:
    """A response; `content` is its parsed JSON, None where the body is none."""

    status: int
    content: Any

    @property
    def is_ok(self) -> bool:
        """Whether the question was answered."""
        return self.status == http.client.OK

    @property
    def reason(self) -> str:
        """Why there is no answer, in one line."""
        said = self.content.get("error", "") if isinstance(self.content, dict) else ""
        text = said.get("message", "") if isinstance(said, dict) else str(said)
        return f"the server answered HTTP {self.status}" + (f": {' '.join(text.split())[:200]}" if text else "")


def ask(endpoint: Endpoint, path: str) -> HttpAnswer:
    """GET `path`, behind the endpoint's base path. Raises OSError or http.client.HTTPException without an answer."""
    host, port = split_url(endpoint.url)
    connection = _connection(endpoint, host, port)
    with contextlib.closing(connection):
        connection.request("GET", endpoint.base_path + path, headers=dict(endpoint.headers))
        response = connection.getresponse()
        body = response.read(_MOST_BYTES)
    try:
        return HttpAnswer(response.status, json.loads(body) if body else None)
    except ValueError:
        return HttpAnswer(response.status, None)


def ask_first(endpoint: Endpoint, path: str, *, hint: str) -> HttpAnswer:
    """As `ask`, for the first question: a server that is none, or that refuses the credentials, is TargetNotReady."""
    try:
        answer = ask(endpoint, path)
    except http.client.HTTPException as error:
        raise TargetNotReady(f"{endpoint.url} does not speak HTTP/1.1 ({error!r})", hint=hint) from error
    except OSError as error:
        plain = "" if endpoint.tls else "; if the server wants TLS, add tls to the target"
        raise TargetNotReady(
            f"{endpoint.url} accepts connections but does not answer over HTTP/1.1 ({error})", hint=hint + plain
        ) from error
    if answer.status in (401, 403):
        sent = ", ".join(sorted(endpoint.headers)) or "none"
        raise TargetNotReady(
            f"{endpoint.url} refuses the credentials ({answer.reason})",
            hint=f"headers sent: {sent}; set attach.headers, with the secret as ${{ENV_NAME}}",
        )
    return answer


def ask_part(endpoint: Endpoint, path: str, missing: dict[str, str], part: str) -> Any:
    """The content; None, and the reason in `missing`, when the server does not give it."""
    try:
        answer = ask(endpoint, path)
    except (OSError, http.client.HTTPException) as error:
        missing[part] = f"no answer: {error}"
        return None
    if not answer.is_ok or answer.content is None:
        missing[part] = answer.reason
        return None
    return answer.content


def _connection(endpoint: Endpoint, host: str, port: int) -> http.client.HTTPConnection:
    if endpoint.tls is None:
        return http.client.HTTPConnection(host, port, timeout=CALL_S)
    context = tls_context(endpoint.tls, "http/1.1")
    if endpoint.tls.server_name is None:
        return http.client.HTTPSConnection(host, port, timeout=CALL_S, context=context)
    return _Named(host, port, context, endpoint.tls.server_name)


class _Named(http.client.HTTPSConnection):
    """A connection whose certificate names another host than the one that is connected to."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port, timeout=CALL_S, context=context)
        self._tls, self._server_name = context, server_name

    def connect(self) -> None:
        """Connect, and shake hands under the other name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)
