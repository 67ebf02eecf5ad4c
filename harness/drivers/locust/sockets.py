"""Opening a gevent socket to the target, plain or TLS with the application protocol that a transport needs."""

from __future__ import annotations

import gevent.socket
import gevent.ssl

from harness.drivers.task import Address, TlsFiles

CONNECT_TIMEOUT_S = 10.0
H2, HTTP_1_1 = "h2", "http/1.1"


def open_socket(address: Address, application: str) -> gevent.socket.socket:
    """A connected socket; `application` is the ALPN name. Raises OSError when the server refuses, or speaks another."""
    raw = gevent.socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S)
    raw.settimeout(None)
    raw.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
    return raw if address.tls is None else _secure(raw, address.tls, address.host, application)


def _secure(raw: gevent.socket.socket, tls: TlsFiles, host: str, application: str) -> gevent.ssl.SSLSocket:
    context = gevent.ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols([application])
    raw.settimeout(CONNECT_TIMEOUT_S)
    secure = context.wrap_socket(raw, server_hostname=tls.server_name or host)
    secure.settimeout(None)
    chosen = secure.selected_alpn_protocol()
    # A server that knows no ALPN speaks HTTP/1.1.
    if chosen != application and not (application == HTTP_1_1 and chosen is None):
        secure.close()
        name = "HTTP/2 (ALPN h2)" if application == H2 else "HTTP/1.1"
        raise ConnectionError(f"the server does not offer {name} over TLS")
    return secure
