"""Locust's web page, on request and for this host only. It shows and does not steer: the plan decides."""

from __future__ import annotations

import socket

import flask
from locust.env import Environment

from harness.errors import UsageError

HOST = "127.0.0.1"


def open_page(environment: Environment, port: int) -> None:
    """Serve the page until the process ends. Raises UsageError when the port is taken: Locust would only log it."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise UsageError(
            f"no web page on port {port}: {error.strerror}", hint="choose another --web-ui port"
        ) from error
    environment.create_web_ui(HOST, port).app.before_request(_refuse_to_steer)


def _refuse_to_steer() -> tuple[dict[str, object], int] | None:
    """Everything by which the page could start, stop or change users is a POST."""
    if flask.request.method in ("GET", "HEAD"):
        return None
    return {"success": False, "message": "the plan decides about the load: use Ctrl-C in the terminal to stop"}, 403
