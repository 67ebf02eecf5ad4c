"""The truth server as a child process, for tests and calibration: started, waited for, stopped by its pid."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TargetNotReady
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import SentRequest, read_log

STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class TruthProcess:
    """A running truth server on 127.0.0.1."""

    port: int  # gRPC
    http_port: int
    pid: int
    log_path: Path
    _child: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """host:port, as clients want it."""
        return f"127.0.0.1:{self.port}"

    @property
    def http_address(self) -> str:
        """host:port of the HTTP/1.1 half."""
        return f"127.0.0.1:{self.http_port}"

    def stop(self) -> list[SentRequest]:
        """Stop it with SIGTERM and read its now complete log; may be called again."""
        _stop(self._child)
        return read_log(self.log_path)

    def kill(self) -> None:
        """SIGKILL: the log keeps only what was written so far."""
        self._child.kill()
        self._child.wait()


@contextmanager
def start(
    behaviour: Behaviour,
    log_path: Path,
    *,
    port: int = 0,
    tokenizer: Path | None = None,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
) -> Iterator[TruthProcess]:
    """Start a server and wait until it listens; stop it at the end, also when this process dies.

    Raises TargetNotReady, with what the server said, when it does not come up.
    """
    command = [sys.executable, "-m", "harness.truth", "--stop-with-stdin", "--behaviour", behaviour.to_json()]
    options = {"port": port, "log": log_path, "tokenizer": tokenizer, "tls-cert": tls_certificate, "tls-key": tls_key}
    command += [f"--{name}={value}" for name, value in options.items() if value is not None]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        try:
            line = child.stdout.readline() if child.stdout else b""
            if not line:
                said = child.stderr.read().decode() if child.stderr else ""
                raise TargetNotReady("the truth server did not start", hint=said.strip() or "it said nothing")
            said_ports = json.loads(line)
            yield TruthProcess(said_ports["port"], said_ports["http_port"], child.pid, log_path, child)
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
