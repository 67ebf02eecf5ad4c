"""A worker process: `python -m harness.drivers.locust.worker_process MASTER_PORT NUMBER PARENT_PID`, started by `crew`.

Its first line of standard input is the secret by which the conductor knows it. It ignores Ctrl-C, which is for the
parent to decide, and ends with its parent: the kernel sends SIGTERM, upon which it writes what it has measured.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time

import gevent
import locust  # noqa: F401  # first of all: importing Locust monkey-patches the standard library for gevent
from locust.env import Environment

from harness.drivers.locust import messages
from harness.drivers.locust.users import PlanUser
from harness.drivers.locust.worker import Worker

PR_SET_PDEATHSIG = 1
WRITE_WITHIN_S = 5.0


def main(port: int, number: int, parent_pid: int) -> None:
    """Work until told to quit, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it died before the line above took effect
        sys.exit(1)
    logging.getLogger("locust").setLevel(logging.ERROR)
    token = sys.stdin.readline().strip()
    environment = Environment(user_classes=[PlanUser], stop_timeout=0)
    runner = environment.create_worker_runner("127.0.0.1", port)
    worker = Worker(environment, number)
    gevent.signal_handler(signal.SIGTERM, _write_and_leave, worker)
    runner.send_message(messages.HELLO, {"worker": number, "token": token})
    runner.greenlet.join()


def _write_and_leave(worker: Worker) -> None:
    worker.end("interrupted", time.perf_counter_ns())
    deadline = time.monotonic() + WRITE_WITHIN_S
    while worker.busy and time.monotonic() < deadline:
        gevent.sleep(0.01)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
