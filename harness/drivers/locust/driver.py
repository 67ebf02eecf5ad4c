"""The parent's side of the Locust driver: starts the driver process once per run and exchanges commands and events."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from harness.drivers import task as tasks
from harness.drivers.task import Event, MeasurementTask
from harness.errors import DriverFailed

POLL_S = 0.1
QUIT_TIMEOUT_S = 10.0


class LocustDriver:
    """Context manager around the driver process. It dies with this process, and is not hit by Ctrl-C itself."""

    def __init__(self, log_path: Path, processes: int = 1, web_ui_port: int | None = None) -> None:
        self._log_path = log_path
        self._options = [f"--processes={processes}"]
        if web_ui_port is not None:
            self._options.append(f"--web-ui={web_ui_port}")
        self._buffer = b""

    def __enter__(self) -> LocustDriver:
        self._events, child_end = os.pipe()
        self._log = self._log_path.open("ab")
        module = "harness.drivers.locust.process"
        self._child = subprocess.Popen(
            [sys.executable, "-m", module, str(child_end), *self._options],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[child_end],
            start_new_session=True,
        )
        os.close(child_end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._command({"do": "quit"})
        with contextlib.suppress(OSError):
            self._pipe.close()  # the child takes the end of its input for the end of its parent
        try:
            self._child.wait(QUIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        os.close(self._events)
        self._log.close()

    @property
    def pid(self) -> int:
        """The process that generates the load."""
        return self._child.pid

    def stop(self) -> None:
        """Ask for an early end of the measurement; `measure` goes on until the driver has finished it."""
        with contextlib.suppress(OSError):
            self._command({"do": "stop"})

    def measure(self, task: MeasurementTask, idle: Callable[[], None]) -> Iterator[Event]:
        """Execute one task; yields its events, the last one FINISHED or FAILED.

        `idle` is called several times a second. Raises DriverFailed when the driver process dies.
        """
        try:
            self._command({"do": "measure", "task": dataclasses.asdict(task)})
        except OSError as error:
            raise self._died() from error
        while True:
            for event in self._receive():
                yield event
                if event.kind in (tasks.FINISHED, tasks.FAILED):
                    return
            idle()

    def _receive(self) -> list[Event]:
        """Events that arrived within a short wait."""
        ready, _, _ = select.select([self._events], [], [], POLL_S)
        if not ready:
            return []
        data = os.read(self._events, 1 << 16)
        if not data:
            raise self._died()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [Event(**json.loads(line)) for line in lines]

    def _died(self) -> DriverFailed:
        deadline = time.monotonic() + 1.0
        while self._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        code = self._child.poll()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return DriverFailed(f"the load generator process ended unexpectedly ({how})", hint=f"its log: {self._log_path}")

    @property
    def _pipe(self):  # type: ignore[no-untyped-def]
        assert self._child.stdin is not None
        return self._child.stdin

    def _command(self, command: dict[str, object]) -> None:
        self._pipe.write(json.dumps(command).encode() + b"\n")
        self._pipe.flush()
