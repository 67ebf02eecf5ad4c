"""Verdicts over HTTP, for whoever asks with a URL: Argo Rollouts' web provider sees PASS, FAIL and "neither" this way.

    GET /verdicts            the verdicts there are, the newest first
    GET /verdicts/<folder>   {"result": {"verdict": "pass", …}}
    GET /healthz             {"ok": true}

Only `verdict.json` of folders below one root is ever read, and only a few of its fields are answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from harness.errors import HarnessError
from harness.gate import verdict_json

PREFIX = "/verdicts"
MOST_LISTED = 1_000
SHOWN = ("kind", "gate", "sentence", "scenario", "point_id", "baseline", "candidate", "exit_code")
Answer = tuple[HTTPStatus, Mapping[str, Any]]


def answer(root: Path, target: str) -> Answer:
    """The answer to GET `target` (path and query as they stand in the request line)."""
    path = unquote(urlsplit(target).path)
    if path == "/healthz":
        return HTTPStatus.OK, {"ok": True}
    if path.rstrip("/") in ("", PREFIX):
        return HTTPStatus.OK, {"verdicts": listed(root)}
    if not path.startswith(f"{PREFIX}/"):
        return _missing(f"nothing is served at {path}", f"ask for {PREFIX}/<folder>, or {PREFIX} for the list")
    name = path.removeprefix(f"{PREFIX}/").strip("/")
    file = _inside(root, name)
    if file is None:
        return _missing(f"no verdict in {name!r}", "no gate has finished there (yet): see /verdicts")
    try:
        return HTTPStatus.OK, {"result": reduced(file)}
    except (HarnessError, OSError, UnicodeError) as error:
        message = error.message if isinstance(error, HarnessError) else str(error)
        return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": message, "hint": "judge again: harness gate"}


def reduced(file: Path) -> dict[str, Any]:
    """What is answered of a verdict.json: the verdict in lower case, and a few words about it."""
    content = verdict_json.content_of(file.read_text(encoding="utf-8"))
    shown = {name: content[name] for name in SHOWN if content.get(name) is not None}
    return {"verdict": str(content["status"]).lower(), **shown}


def listed(root: Path) -> list[dict[str, str]]:
    """The folders right below the root that hold a verdict that can be read, the newest first."""
    files = [file for file in root.glob(f"*/{verdict_json.FILE}") if _inside(root, file.parent.name) is not None]
    newest = sorted(files, key=lambda file: (-file.stat().st_mtime_ns, file.parent.name))[:MOST_LISTED]
    return [entry for file in newest if (entry := _entry(file)) is not None]


def _entry(file: Path) -> dict[str, str] | None:
    try:
        verdict = reduced(file)["verdict"]
    except (HarnessError, OSError, UnicodeError):
        return None
    return {"folder": file.parent.name, "verdict": verdict, "path": f"{PREFIX}/{quote(file.parent.name)}"}


def _inside(root: Path, name: str) -> Path | None:
    """The verdict of the folder with this name; None where there is none, or where the name leads out of the root."""
    if "\0" in name:
        return None
    file = (root / name / verdict_json.FILE).resolve()
    return file if file.is_relative_to(root.resolve()) and file.is_file() else None


def _missing(error: str, hint: str) -> Answer:
    return HTTPStatus.NOT_FOUND, {"error": error, "hint": hint}


class VerdictServer(ThreadingHTTPServer):
    """Serves the verdicts below `root`. `address`: (host, port), port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 64  # with the usual 5, the sixth of many at once waits a second for its connection

    def __init__(self, address: tuple[str, int], root: Path) -> None:
        self.root = root
        super().__init__(address, _Requests)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


class _Requests(BaseHTTPRequestHandler):
    server: VerdictServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "harness-gate", ""
    timeout = 30  # seconds a connection may stay silent

    def do_GET(self) -> None:
        self._send(*answer(self.server.root, self.path))

    do_HEAD = do_GET

    def _send(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
        body = (json.dumps(content, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
