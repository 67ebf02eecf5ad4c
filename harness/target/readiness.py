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
from pathlib import Path

import psutil

from harness.errors import TargetNotReady
from harness.target import server_log
from harness.target.ports import LOOPBACK, Ports
from harness.target.process import ending
from harness.units import show_duration

POLL_S = 0.1
PROBE_S = 2.0
SAY_EVERY_S = 5.0


def wait_until_ready(
    server: subprocess.Popen[bytes], ports: Ports, log: Path, *, limit_s: float, progress: Callable[[str], None]
) -> None:
    """Return when the server is ready. Raises TargetNotReady with the reason when it ends, cannot start, or is late."""
    began = said = time.monotonic()
    while (now := time.monotonic()) - began < limit_s:
        if server.poll() is not None:
            raise _not_ready(f"Triton ended before it was ready ({ending(server.returncode)})", log)
        if (cause := server_log.fatal(server_log.read_tail(log))) is not None:
            raise TargetNotReady(f"Triton cannot become ready: {cause}", hint=f"the whole log: {log}")
        if answers_ready(ports.http) and listens(server.pid, ports):
            return
        if now - said >= SAY_EVERY_S:
            said = now
            progress(f"waiting for Triton, {show_duration(now - began)}")
        time.sleep(POLL_S)
    raise _not_ready(f"Triton was not ready after {show_duration(limit_s)}", log)


def answers_ready(http_port: int) -> bool:
    """Whether Triton's HTTP port says that the server and all its models are ready."""
    connection = http.client.HTTPConnection(LOOPBACK, http_port, timeout=PROBE_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/v2/health/ready")
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


def _not_ready(headline: str, log: Path) -> TargetNotReady:
    text = server_log.read_tail(log)
    cause = server_log.reason(text)
    if cause is not None:
        return TargetNotReady(f"{headline}: {cause}", hint=f"the whole log: {log}")
    last = "\n  ".join(server_log.last_lines(text)) or "(the log is empty)"
    return TargetNotReady(f"{headline}; the end of its log:\n  {last}", hint=f"the whole log: {log}")
