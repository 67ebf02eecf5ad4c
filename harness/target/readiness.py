"""Waiting for a started Triton, and the true reason when it does not become ready.

Ready means: Triton says so on its HTTP port, and it is *our* process that listens on all three ports (a port taken by
somebody else between choosing and starting would otherwise answer for us). Durations in seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.errors import TargetNotReady
from harness.target import server_log
from harness.target.failure_patterns import explain
from harness.target.ports import LOOPBACK, Ports
from harness.target.process import advice_if_killed, ending
from harness.units import show_duration

POLL_S = 0.1
PROBE_S = 2.0
SAY_EVERY_S = 5.0


LIVE, READY = "live", "ready"


@dataclass(frozen=True)
class Health:
    """How to ask a server how far it is: paths on its HTTP port, answered with 200."""

    name: str
    port: int
    live: str = "/v2/health/live"
    ready: str = "/v2/health/ready"


def wait_until_ready(
    server: subprocess.Popen[bytes],
    ports: Ports,
    log: Path,
    *,
    limit_s: float,
    progress: Callable[[str], None],
    reached: Callable[[str], None] = lambda _: None,
) -> None:
    """Return when Triton is ready. Raises TargetNotReady with the reason when it ends, cannot start, or is late."""
    health = Health("Triton", ports.http)

    def is_ours() -> bool:
        return listens(server.pid, ports)

    wait_for_health(server, health, log, is_ours, limit_s=limit_s, progress=progress, reached=reached)


def wait_for_health(
    server: subprocess.Popen[bytes],
    health: Health,
    log: Path,
    is_ours: Callable[[], bool],
    *,
    limit_s: float,
    progress: Callable[[str], None],
    reached: Callable[[str], None],
) -> None:
    """As `wait_until_ready`, for any server. `reached` is told LIVE and READY when they are first seen.

    `is_ours` tells whether it is our server that answers on the port.
    """
    began = said = time.monotonic()
    live = False
    while (now := time.monotonic()) - began < limit_s:
        if server.poll() is not None:
            headline = f"{health.name} ended before it was ready ({ending(server.returncode)})"
            raise _not_ready(headline, log, advice_if_killed(server.returncode))
        _raise_if_hopeless(health.name, log)
        if not live and answers(health.port, health.live):
            live = True
            reached(LIVE)
        if live and answers(health.port, health.ready) and is_ours():
            reached(READY)
            return
        if now - said >= SAY_EVERY_S:
            said = now
            busy = server_log.still_loading(server_log.read_tail(log))
            with_what = f", loading {', '.join(busy)}" if busy else ""
            progress(f"waiting for {health.name}, {show_duration(now - began)}{with_what}")
        time.sleep(POLL_S)
    raise _not_ready(f"{health.name} was not ready after {show_duration(limit_s)}", log)


def answers(http_port: int, path: str) -> bool:
    """Whether the port answers this question with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, http_port, timeout=PROBE_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def listens(pid: int, ports: Ports) -> bool:
    """Whether this process listens on all three ports."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    open_ports = {entry.laddr.port for entry in connections if entry.status == psutil.CONN_LISTEN}
    return {ports.grpc, ports.http, ports.metrics} <= open_ports


def why_dead(server: subprocess.Popen[bytes], log: Path) -> str | None:
    """None while the server runs; else how it ended, with what its log says."""
    if server.poll() is None:
        return None
    text = server_log.read_tail(log)
    said = server_log.reason(text) or "its log ends: " + " / ".join(server_log.last_lines(text, 1))
    return f"the server ended with {ending(server.returncode)}; {said} ({log})"


def _raise_if_hopeless(name: str, log: Path) -> None:
    """Raises TargetNotReady when the log shows a cause that does not pass while the server runs on."""
    text = server_log.read_tail(log)
    cause = server_log.fatal(text)
    if cause is not None:
        raise TargetNotReady(f"{name} cannot become ready: {cause}", hint=_hint(text, log))


def _hint(text: str, log: Path) -> str:
    known = explain(text)
    advice = f"{known.sentence}: {known.advice}\n  " if known else ""
    return f"{advice}the whole log: {log}"


def _not_ready(headline: str, log: Path, advice: str = "") -> TargetNotReady:
    text = server_log.read_tail(log)
    cause, known = server_log.reason(text), explain(text)
    if cause is not None:
        return TargetNotReady(f"{headline}: {cause}", hint=_hint(text, log))
    if known is not None:
        return TargetNotReady(f"{headline}: {known.line}", hint=_hint(text, log))
    busy = server_log.still_loading(text)
    if busy:
        headline += f", still loading {', '.join(busy)}"
    last = "\n  ".join(server_log.last_lines(text)) or "(the log is empty)"
    return TargetNotReady(f"{headline}; the end of its log:\n  {last}", hint=f"{advice}the whole log: {log}")
