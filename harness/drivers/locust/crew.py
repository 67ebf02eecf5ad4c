"""The workers as the conductor sees them: this very process, or processes of this host behind Locust's master.

Worker processes are started here, recognised by a secret given to them through a pipe, watched by their process ids,
and gone at the end: they are told to quit, then killed, and the kernel ends them when this process dies.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import STATE_RUNNING

from harness.drivers.locust import messages
from harness.drivers.locust.messages import Figures, Status
from harness.drivers.locust.worker import Worker
from harness.errors import DriverFailed

CONNECT_WITHIN_S = 60.0
QUIT_WITHIN_S = 5.0
WORKER_MODULE = "harness.drivers.locust.worker_process"


class Crew:
    """One worker in this process, or `processes` of them beside it; and what they last said."""

    def __init__(self, environment: Environment, processes: int) -> None:
        self.size = processes
        self._environment = environment
        self._children: list[subprocess.Popen[bytes]] = []
        self._nodes: dict[int, str] = {}  # worker -> Locust's id
        self._token = secrets.token_hex(16)
        self.clear()
        if processes == 1:
            environment.create_local_runner()
            Worker(environment, 0)
        else:
            environment.create_master_runner("127.0.0.1", 0)
        register = environment.runner.register_message
        register(messages.HELLO, self._on_hello)
        register(messages.READY, lambda environment, msg: self._keep(self.ready, msg))
        register(messages.STATUS, self._on_status)
        register(messages.COLLECTED, lambda environment, msg: self._keep(self.collected, msg))
        register(messages.TROUBLE, lambda environment, msg: self._keep(self.trouble, msg))

    def clear(self) -> None:
        """Forget what the workers said about the last repetition."""
        self.ready: dict[int, dict[str, Any]] = {}
        self.statuses: dict[int, Status] = {}
        self.figures: dict[int, Figures] = {}
        self.collected: dict[int, dict[str, Any]] = {}
        self.trouble: dict[int, dict[str, Any]] = {}

    def assemble(self) -> None:
        """Start the worker processes and wait until all have connected. Raises DriverFailed when one does not."""
        if self.size == 1:
            return
        self._children = [self._start(number) for number in range(self.size)]
        deadline = time.monotonic() + CONNECT_WITHIN_S
        while len(self._nodes) < self.size:
            self.refuse_lost()
            if time.monotonic() > deadline:
                raise DriverFailed(f"only {len(self._nodes)} of {self.size} worker processes connected")
            gevent.sleep(0.02)
        self._environment.runner.update_state(STATE_RUNNING)

    @property
    def pids(self) -> list[int]:
        """The processes that carry the load."""
        return [child.pid for child in self._children] or [os.getpid()]

    def send(self, kind: str, content: dict[str, Any]) -> None:
        """Send a message to every worker that is known."""
        if self.size == 1:
            self._environment.runner.send_message(kind, content)
        for node in self._nodes.values():
            self._environment.runner.send_message(kind, content, client_id=node)

    def lost(self) -> dict[int, str]:
        """Workers whose process is gone -> how it ended."""
        codes = {number: child.poll() for number, child in enumerate(self._children)}
        return {
            number: f"worker process {number} ended unexpectedly ({_manner(code)})"
            for number, code in codes.items()
            if code is not None
        }

    def refuse_lost(self) -> None:
        """Raise DriverFailed when a worker process is gone."""
        for message in self.lost().values():
            raise DriverFailed(message)

    def dismiss(self) -> None:
        """End users, workers and this process's runner; no process stays behind."""
        self._environment.runner.quit()
        deadline = time.monotonic() + QUIT_WITHIN_S
        for child in self._children:
            with contextlib.suppress(OSError):
                child.stdin.close()  # type: ignore[union-attr]  # the worker takes this for the end of its parent
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, deadline - time.monotonic()))
                continue
            child.kill()
            child.wait()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        port = str(self._environment.runner.server.port)
        command = [sys.executable, "-m", WORKER_MODULE, port, str(number), str(os.getpid())]
        child = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert child.stdin is not None
        child.stdin.write(self._token.encode() + b"\n")
        child.stdin.flush()
        return child

    def _on_hello(self, environment: Environment, msg: Any) -> None:
        if secrets.compare_digest(str(msg.data["token"]), self._token):
            self._nodes[msg.data["worker"]] = msg.node_id

    def _on_status(self, environment: Environment, msg: Any) -> None:
        if not self._is_ours(msg):
            return
        figures = msg.data["figures"]
        if figures is not None:
            self.figures[msg.data["worker"]] = Figures(**figures)
        self.statuses[msg.data["worker"]] = Status(**{**msg.data, "figures": None})

    def _keep(self, box: dict[int, dict[str, Any]], msg: Any) -> None:
        if self._is_ours(msg):
            box[msg.data["worker"]] = {key: value for key, value in msg.data.items() if key != "worker"}

    def _is_ours(self, msg: Any) -> bool:
        return self.size == 1 or self._nodes.get(msg.data["worker"]) == msg.node_id


def _manner(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
