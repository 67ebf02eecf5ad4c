"""The driver process: `python -m harness.drivers.locust.process EVENT_FD`, started by `driver.py`.

Commands arrive as JSON lines on standard input (`{"do": "measure", "task": …}`, `{"do": "stop"}`, `{"do": "quit"}`);
events leave as JSON lines on EVENT_FD. The end of standard input means that the parent is gone.
"""

from __future__ import annotations

import locust  # noqa: F401  # first of all: importing Locust monkey-patches the standard library for gevent

import json
import logging
import os
import signal
import sys
import traceback

import gevent
import gevent.queue
from gevent.fileobject import FileObject
from locust.env import Environment

from harness.drivers import task as tasks
from harness.drivers.locust.repetition import Repetition
from harness.drivers.locust.users import ClosedLoopUser
from harness.drivers.task import Event, MeasurementTask
from harness.errors import HarnessError, TargetNotReady


class EventPipe:
    """Writes events to the parent; a parent that is gone ends the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self, event: Event) -> None:
        line = json.dumps({"kind": event.kind, "facts": event.facts}).encode() + b"\n"
        try:
            os.write(self._fd, line)  # short of PIPE_BUF: atomic
        except OSError:
            os._exit(1)


def main() -> None:
    """Obey commands until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide
    logging.getLogger("locust").setLevel(logging.ERROR)
    report = EventPipe(int(sys.argv[1]))
    environment = Environment(user_classes=[ClosedLoopUser], stop_timeout=2)
    environment.create_local_runner()
    commands: gevent.queue.Queue[dict[str, object] | None] = gevent.queue.Queue()
    running: list[Repetition] = []
    gevent.spawn(_read_commands, commands, running)
    while (command := commands.get()) is not None:
        if command["do"] == "measure":
            task = MeasurementTask.from_json(json.dumps(command["task"]))
            running[:] = [Repetition(task, environment, report)]
            _run(running[0], report)
            running.clear()
    environment.runner.quit()


def _run(repetition: Repetition, report: EventPipe) -> None:
    try:
        repetition.run()
    except HarnessError as error:
        report(Event(tasks.FAILED, {"message": str(error), "target": isinstance(error, TargetNotReady)}))
    except OSError as error:
        report(Event(tasks.FAILED, {"message": f"cannot write records: {error}", "target": False}))
    except Exception as error:
        traceback.print_exc()
        report(Event(tasks.FAILED, {"message": f"the driver failed: {error!r}", "target": False}))


def _read_commands(commands: gevent.queue.Queue, running: list[Repetition]) -> None:
    with FileObject(sys.stdin.fileno(), "rb", closefd=False) as lines:
        for line in lines:
            command = json.loads(line)
            if command["do"] == "stop":
                for repetition in running:
                    repetition.interrupt()
            elif command["do"] == "quit":
                break
            else:
                commands.put(command)
    for repetition in running:
        repetition.interrupt()
    commands.put(None)


if __name__ == "__main__":
    main()
