"""Can the target's port be reached at all? A plain socket gives the precise reason that gRPC hides.

Raises TargetNotReady with one sentence; returns nothing when it can. Nothing is sent but a TLS handshake.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl

from harness.errors import TargetNotReady
from harness.scenario.target import Tls
from harness.target.endpoint import Endpoint

CONNECT_S = 5.0
PROBE_S = 1.0


def split_url(url: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as (host, port)."""
    host, _, port = url.rpartition(":")
    return host.strip("[]"), int(port)


def require_reachable(endpoint: Endpoint) -> None:
    """Connect once, and shake hands where the endpoint has TLS."""
    host, port = split_url(endpoint.url)
    try:
        connection = socket.create_connection((host, port), timeout=CONNECT_S)
    except OSError as error:
        raise TargetNotReady(f"{endpoint.url}: {_why(error, host)}", hint=_hint(error, endpoint.protocol)) from error
    with connection:
        if endpoint.tls is not None:
            _shake_hands(connection, endpoint, host, endpoint.tls)


def why_unreachable(url: str) -> str | None:
    """None while the port accepts connections, or is only slow to; else why it does not."""
    host, port = split_url(url)
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except TimeoutError:
        return None  # a server under load may answer late: that is data, not its end
    except OSError as error:
        return f"{url}: {_why(error, host)}"
    return None


def speaks_http1(url: str) -> bool:
    """Whether the port answers an HTTP/1 request with anything that is HTTP."""
    host, port = split_url(url)
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=PROBE_S)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
    return True


def tls_context(tls: Tls, application: str) -> ssl.SSLContext:
    """The TLS settings, for one application protocol (its ALPN name). Raises OSError for a file that is none."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols([application])
    return context


def _shake_hands(connection: socket.socket, endpoint: Endpoint, host: str, tls: Tls) -> None:
    url = endpoint.url
    try:
        context = tls_context(tls, "h2" if endpoint.protocol == "triton_grpc" else "http/1.1")
    except OSError as error:  # ssl.SSLError is one: no such file, or not a PEM file
        files = ", ".join(str(file) for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise TargetNotReady(f"{url}: the TLS files cannot be used ({files}): {error}") from error
    try:
        context.wrap_socket(connection, server_hostname=tls.server_name or host).close()
    except ssl.SSLCertVerificationError as error:
        raise TargetNotReady(
            f"{url}: the server's certificate is not trusted: {error.verify_message}",
            hint="set tls.ca_file to the authority that signed it (and tls.server_name if the name differs)",
        ) from error
    except OSError as error:
        raise TargetNotReady(
            f"{url}: the TLS handshake failed: {error}",
            hint="if the server speaks plain text, remove tls from the target",
        ) from error


def _why(error: OSError, host: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(error, socket.gaierror):
        return f"the host name {host!r} cannot be resolved"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S:.0f} s"
    return f"cannot connect: {error.strerror or error}"


def _hint(error: OSError, protocol: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        usual = "gRPC port is 8001 by default (8000 is HTTP)"
        return f"is the server up? Triton's {usual if protocol == 'triton_grpc' else 'HTTP port is 8000 by default'}"
    return "check url in the scenario's target, and the network"
