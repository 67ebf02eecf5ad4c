"""The driver process: `python -m harness.drivers.locust.process EVENT_FD`, started by `driver.py`. It conducts; with
`--processes N` the load comes from N worker processes, else from this one.

Commands arrive as JSON lines on standard input (`{"do": "measure", "task": …}`, `{"do": "stop"}`, `{"do": "quit"}`);
events leave as JSON lines on EVENT_FD. The end of standard input means that the parent is gone.
"""

from __future__ import annotations

import locust  # noqa: F401  # first of all: importing Locust monkey-patches the standard library for gevent

import argparse
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
from harness.drivers.locust.conductor import Conductor
from harness.drivers.locust.crew import Crew
from harness.drivers.locust.page import open_page
from harness.drivers.locust.users import PlanUser
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
    arguments = _arguments()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide
    logging.getLogger("locust").setLevel(logging.ERROR)
    report = EventPipe(arguments.event_fd)
    environment = Environment(user_classes=[PlanUser], stop_timeout=0)
    crew = Crew(environment, arguments.processes)
    commands: gevent.queue.Queue[dict[str, object] | None] = gevent.queue.Queue()
    running: list[Conductor] = []
    gevent.spawn(_read_commands, commands, running)
    try:
        trouble = _assemble(environment, crew, arguments.web_ui)
        while (command := commands.get()) is not None:
            task = MeasurementTask.from_json(json.dumps(command["task"]))
            running[:] = [Conductor(task, crew, report)]
            _run(running[0], report, trouble)
            running.clear()
    finally:
        crew.dismiss()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.drivers.locust.process", description=__doc__)
    parser.add_argument("event_fd", type=int)
    parser.add_argument("--processes", type=int, default=1, help="worker processes on this host")
    parser.add_argument("--web-ui", type=int, help="port of Locust's web page on 127.0.0.1")
    arguments = parser.parse_args()
    sys.argv[1:] = []  # Locust's web page would read them as its own
    return arguments


def _assemble(environment: Environment, crew: Crew, page_port: int | None) -> HarnessError | None:
    """Open the web page and start the workers; what went wrong is reported with the first task."""
    try:
        if page_port is not None:
            open_page(environment, page_port)
        crew.assemble()
    except HarnessError as error:
        return error
    return None


def _run(conductor: Conductor, report: EventPipe, trouble: HarnessError | None) -> None:
    try:
        if trouble is not None:
            raise trouble
        conductor.run()
    except HarnessError as error:
        report(Event(tasks.FAILED, {"message": str(error), "target": isinstance(error, TargetNotReady)}))
    except Exception as error:
        traceback.print_exc()
        report(Event(tasks.FAILED, {"message": f"the driver failed: {error!r}", "target": False}))


def _read_commands(commands: gevent.queue.Queue, running: list[Conductor]) -> None:
    with FileObject(sys.stdin.fileno(), "rb", closefd=False) as lines:
        for line in lines:
            command = json.loads(line)
            if command["do"] == "stop":
                for conductor in running:
                    conductor.interrupt()
            elif command["do"] == "quit":
                break
            else:
                commands.put(command)
    for conductor in running:
        conductor.interrupt()
    commands.put(None)


if __name__ == "__main__":
    main()
