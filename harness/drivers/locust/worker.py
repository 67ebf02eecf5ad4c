"""The worker's side of the messages: it executes its share of each repetition and reports to the conductor.

In a run with one process, worker and conductor live in the same process; Locust's LocalRunner then calls the handlers
at once. Handlers therefore never wait: a share runs in a greenlet of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import traceback
from typing import Any

import gevent
import gevent.event
from locust.env import Environment
from locust.runners import STATE_RUNNING

from harness.drivers.locust import messages
from harness.drivers.locust.fire import fire_request
from harness.drivers.locust.share import Share
from harness.drivers.locust.users import PlanUser
from harness.drivers.task import MeasurementTask
from harness.errors import HarnessError, TargetNotReady

USERS_WITHIN_S = 20.0


class Worker:
    """One worker of a Locust environment; users find it as `environment.harness_worker`."""

    def __init__(self, environment: Environment, number: int) -> None:
        self._number = number
        self._environment = environment
        self._share: Share | None = None
        self._upcoming: gevent.event.AsyncResult = gevent.event.AsyncResult()
        self._waiting = 0
        environment.harness_worker = self
        register = environment.runner.register_message
        register(messages.PREPARE, self._on_prepare)
        register(messages.GO, self._on_go)
        register(messages.WINDOW, self._on_window)
        register(messages.END, self._on_end)

    def next_share(self) -> Share:
        """Wait for the next repetition; called by users."""
        self._waiting += 1
        try:
            share: Share = self._upcoming.get()
            return share
        finally:
            self._waiting -= 1

    def end(self, why: str, at_ns: int) -> None:
        """End the share that runs, if any."""
        if self._share is not None:
            self._share.end(why, at_ns)

    @property
    def busy(self) -> bool:
        """Whether a share is not yet written completely."""
        return self._share is not None

    def _on_prepare(self, environment: Environment, msg: Any) -> None:
        task = MeasurementTask.from_json(json.dumps(msg.data["task"]))
        fire = functools.partial(fire_request, self._environment, task.protocol)
        self._share = Share(task, self._number, msg.data["workers"], fire)
        gevent.spawn(self._serve, self._share)

    def _on_go(self, environment: Environment, msg: Any) -> None:
        if self._share is not None:
            self._share.go.set(msg.data)

    def _on_window(self, environment: Environment, msg: Any) -> None:
        if self._share is not None:
            self._share.open_window(msg.data["start_ns"], msg.data["end_ns"])

    def _on_end(self, environment: Environment, msg: Any) -> None:
        self.end(msg.data["why"], msg.data["at_ns"])

    def _serve(self, share: Share) -> None:
        try:
            with share.prepared() as facts:
                self._staff(share.seats)
                self._send(messages.READY, facts)
                finished = share.run(self._seat_users, lambda status: self._send(messages.STATUS, status))
            if finished is not None:
                self._send(messages.COLLECTED, dataclasses.asdict(finished))
        except HarnessError as error:
            self._send(messages.TROUBLE, {"message": str(error), "target": isinstance(error, TargetNotReady)})
        except OSError as error:
            self._send(messages.TROUBLE, {"message": f"cannot write records: {error}", "target": False})
        except Exception as error:
            traceback.print_exc()
            self._send(messages.TROUBLE, {"message": f"the driver failed: {error!r}", "target": False})
        finally:
            if self._share is share:
                self._share = None

    def _staff(self, seats: int) -> None:
        """Have at least so many Locust users waiting.

        Not by the runner's `start`: its dispatcher spreads users as it sees fit, and leaves out a worker whose
        heartbeat is late. Each worker knows how many it needs.
        """
        runner = self._environment.runner
        missing = seats - runner.user_count
        if missing > 0:
            runner.spawn_users({PlanUser.__name__: missing})
            runner.update_state(STATE_RUNNING)
            runner.worker_state = STATE_RUNNING  # what a worker's heartbeat tells the master
        with gevent.Timeout(USERS_WITHIN_S, RuntimeError(f"Locust did not start {seats} users")):
            while self._waiting < seats:
                gevent.sleep(0.01)

    def _seat_users(self, share: Share) -> None:
        """Let every waiting user look for a seat; those that find none wait for the next repetition."""
        upcoming, self._upcoming = self._upcoming, gevent.event.AsyncResult()
        upcoming.set(share)

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        self._environment.runner.send_message(kind, content | {"worker": self._number})
