"""One perf_analyzer process: started, watched under a time limit, its exit code turned into a clear error.

It is never asked to end early: on SIGINT it waits for its own measurement and then exports nothing. After a request
that failed or was never finished it may wait for ever, without a word (both seen with 2.51.0); only its idleness tells.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from harness.errors import DriverFailed, HarnessError, TargetNotReady
from harness.target.process import TETHER

POLL_S = 0.1
KILL_AFTER_S = 3.0
LINES_SHOWN = 4
BUSY_CPU_S = 0.01  # one tick: about a dozen requests

UNSTABLE, NO_REQUESTS, OTHER = 2, 3, 99
_UNREACHABLE = ("failed to connect", "connection refused", "unavailable", "socket closed")


class Child:
    """A running perf_analyzer. `poll` reaps it, so that its CPU time is known to the end."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._output = log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(TETHER),
                    str(os.getpid()),
                    *command,
                ],  # it dies with us
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started_s = time.monotonic()
        self.cpu_s = 0.0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = usage.ru_utime + usage.ru_stime
        return self._process.returncode

    def wait(self, limit_s: float, quiet_limit_s: float) -> Iterator[None]:
        """Yield several times a second until it is over. Raises DriverFailed at the limit, or when it idles so long."""
        busy_s, busy_at = 0.0, self.started_s
        while self.poll() is None:
            now, used_s = time.monotonic(), self._used_s()
            if used_s - busy_s >= BUSY_CPU_S:
                busy_s, busy_at = used_s, now
            if now - self.started_s > limit_s or now - busy_at > quiet_limit_s:
                self.end()
                raise DriverFailed(
                    f"perf_analyzer got stuck and was stopped after {now - self.started_s:.0f} s; it exported nothing",
                    hint="it waits for ever after a request that failed or was never finished: use driver: locust to"
                    f" see which; its output: {self._output}",
                )
            time.sleep(POLL_S)
            yield

    def _used_s(self) -> float:
        """CPU seconds so far; 0 once it is gone."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system)

    def end(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self.poll() is not None:
            return
        self._process.terminate()
        deadline = time.monotonic() + KILL_AFTER_S
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.poll() is None:
            self._process.kill()
            while self.poll() is None:
                time.sleep(0.02)

    def said(self) -> str:
        """The end of what this process printed."""
        with self._output.open("rb") as file:
            file.seek(self._from)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n  ".join([line.strip() for line in lines if line.strip()][-LINES_SHOWN:]) or "(nothing)"


def failure(code: int, said: str, log: Path) -> HarnessError:
    """The error of an exit code other than 0."""
    hint = f"its whole output: {log}"
    if code < 0:
        return DriverFailed(f"perf_analyzer was killed by signal {-code}; it said:\n  {said}", hint=hint)
    if code == OTHER and any(words in said.lower() for words in _UNREACHABLE):
        return TargetNotReady(f"perf_analyzer cannot reach the server:\n  {said}")
    meaning = {
        UNSTABLE: "it found no stable measurement",
        NO_REQUESTS: "it recorded no valid request",
        OTHER: "it gives up at the first request that fails, and then exports nothing",
    }.get(code, "an exit code it does not document")
    return DriverFailed(f"perf_analyzer ended with {code}: {meaning}:\n  {said}", hint=hint)
