"""One repetition from the conductor's side: prepare the crew, set the start, open the window, end the load, sum up."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from statistics import median

import gevent

from harness.drivers import task as tasks
from harness.drivers.locust import messages
from harness.drivers.locust.course import Course
from harness.drivers.locust.crew import Crew
from harness.drivers.locust.lost_worker import record_unsent
from harness.drivers.locust.phases import Phases, stopped_window
from harness.drivers.task import Event, Finished, LiveFigures, MeasurementTask, WorkerFinished
from harness.errors import DriverFailed, TargetNotReady

TICK_S = 0.01
PROGRESS_EVERY_S = 0.5
START_AHEAD_NS = 50_000_000  # one process: the start is so far ahead when it is set
START_AHEAD_OF_WORKERS_NS = 300_000_000  # a message to another process must have arrived by then
PREPARE_WITHIN_S = 600.0
COLLECT_WITHIN_S = 60.0  # beyond the drain: writing what is buffered

Report = Callable[[Event], None]


class Conductor:
    """Runs one MeasurementTask with a crew and reports events."""

    def __init__(self, task: MeasurementTask, crew: Crew, report: Report) -> None:
        self._task = task
        self._crew = crew
        self._report = report
        self._interrupted = False
        self._message: str | None = None

    def interrupt(self) -> None:
        """Ask for an early end; what was measured is kept."""
        self._interrupted = True

    def run(self) -> None:
        """Everything from preparing to the last record.

        Raises TargetNotReady when the target refuses connections, DriverFailed when a worker cannot do its part.
        """
        self._prepare()
        course = self._go()
        why = self._watch(course)
        at_ns = self._end(course, why)
        self._collect(why)
        self._sum_up(course, why, at_ns)

    def _prepare(self) -> None:
        task, crew = self._task, self._crew
        if crew.size > 1 and task.concurrency is not None and task.window_requests is not None:
            raise DriverFailed(
                "a closed-loop window of requests needs one process: workers cannot agree on the N-th send",
                hint="use window_s, or load_generator: {processes: 1}",
            )
        crew.clear()
        crew.refuse_lost()
        crew.send(messages.PREPARE, {"task": dataclasses.asdict(task), "workers": crew.size})
        deadline = time.monotonic() + PREPARE_WITHIN_S
        try:
            while len(crew.ready) < crew.size:
                self._refuse_trouble()
                if time.monotonic() > deadline or self._interrupted:
                    raise DriverFailed("stopped while the requests were prepared")
                gevent.sleep(TICK_S)
        except (DriverFailed, TargetNotReady):
            crew.send(messages.END, {"why": "driver_failed", "at_ns": time.perf_counter_ns()})
            raise
        self._report(Event(tasks.READY, {"requests": sum(facts["requests"] for facts in crew.ready.values())}))

    def _go(self) -> Course:
        """Set the common start; an open loop's window is set with it."""
        task, crew = self._task, self._crew
        ahead_ns = START_AHEAD_NS if crew.size == 1 else START_AHEAD_OF_WORKERS_NS
        course = Course(
            start_ns=time.perf_counter_ns() + ahead_ns,
            warm_up_ns=task.warm_up_ns,
            warm_up_requests=task.warm_up_requests,
            window_ns=task.window_ns,
            drain_limit_ns=task.drain_limit_ns,
            stop_above_in_flight=task.stop_above_in_flight,
            stop_above_late=task.stop_above_late,
        )
        if task.concurrency is None:
            length_ns = crew.ready[0]["window_length_ns"]
            if length_ns is None:
                raise DriverFailed("the plan has no arrival in the window", hint="look at plan.parquet")
            course.plan_window(length_ns)
        instants = ("start_ns", "window_start_ns", "window_end_ns")
        crew.send(messages.GO, {name: getattr(course, name) for name in instants})
        return course

    def _watch(self, course: Course) -> str:
        """Tick until the load has to end; returns why."""
        next_progress = time.monotonic() + PROGRESS_EVERY_S
        closed = False
        while True:
            gevent.sleep(TICK_S)
            now, statuses = time.perf_counter_ns(), list(self._crew.statuses.values())
            if course.window_end_ns is None:  # a window of requests: its end is known when it has come
                course.window_end_ns = next((s.window_end_ns for s in statuses if s.window_end_ns), None)
            if course.announce(now, sum(status.done for status in statuses)):
                self._announce(course)
            if not closed and course.window_closed(now):
                closed = True
                self._report(Event(tasks.WINDOW_CLOSED, {"window_end_ns": course.window_end_ns}))
            if time.monotonic() >= next_progress:
                next_progress += PROGRESS_EVERY_S
                self._report(Event(tasks.PROGRESS, dataclasses.asdict(self._figures(course, now))))
            why = self._trouble() or ("interrupted" if self._interrupted else course.ending(now, statuses))
            if why is not None:
                return why

    def _announce(self, course: Course) -> None:
        if self._task.concurrency is not None:
            window = {"start_ns": course.window_start_ns, "end_ns": course.window_end_ns}
            self._crew.send(messages.WINDOW, window)
        self._report(Event(tasks.WINDOW_OPENS, {"window_start_ns": course.window_start_ns}))

    def _trouble(self) -> str | None:
        """ "driver_failed" when a worker is gone or cannot go on; the message says which."""
        found = list(self._crew.lost().values()) + [facts["message"] for facts in self._crew.trouble.values()]
        if not found:
            return None
        self._message = "; ".join(found)
        return "driver_failed"

    def _refuse_trouble(self) -> None:
        self._crew.refuse_lost()
        for facts in self._crew.trouble.values():
            raise (TargetNotReady if facts["target"] else DriverFailed)(facts["message"])

    def _end(self, course: Course, why: str) -> int:
        """Tell every worker that the load ends; returns the instant as of which it does."""
        at_ns = time.perf_counter_ns()
        if why == "max_requests":
            at_ns = course.exhausted_ns(list(self._crew.statuses.values())) or at_ns
        self._crew.send(messages.END, {"why": why, "at_ns": at_ns})
        return at_ns

    def _collect(self, why: str) -> None:
        """Wait until every worker that still lives has written its last record."""
        drain_s = self._task.drain_limit_ns / 1e9 if why == "max_requests" else 0.0
        deadline = time.monotonic() + drain_s + COLLECT_WITHIN_S
        hurried = why == "interrupted"
        while missing := set(range(self._crew.size)) - set(self._crew.collected) - set(self._crew.trouble):
            if self._trouble() and missing <= set(self._crew.lost()):
                return
            if self._interrupted and not hurried:
                hurried = True
                self._crew.send(messages.END, {"why": "interrupted", "at_ns": time.perf_counter_ns()})
            if time.monotonic() > deadline:
                self._message = f"workers {sorted(missing)} did not finish writing their records"
                return
            gevent.sleep(TICK_S)

    def _sum_up(self, course: Course, why: str, at_ns: int) -> None:
        self._trouble()
        workers = [WorkerFinished(worker=number, **facts) for number, facts in sorted(self._crew.collected.items())]
        sink_error = next((worker.sink_error for worker in workers if worker.sink_error), None)
        message = self._message or sink_error
        window = stopped_window(course.window_start_ns, course.window_end_ns, at_ns, why)
        self._record_unsent(course.start_ns, at_ns, window)
        finished = Finished(
            ended="driver_failed" if message is not None else why,
            start_ns=course.start_ns,
            window_start_ns=window[0],
            window_end_ns=window[1],
            drain_end_ns=max((worker.drain_end_ns for worker in workers), default=time.perf_counter_ns()),
            message=message or course.stopped_because,
            workers=workers,
        )
        self._report(Event(tasks.FINISHED, dataclasses.asdict(finished)))

    def _record_unsent(self, start_ns: int, at_ns: int, window: tuple[int | None, int | None]) -> None:
        """What a lost worker of an open loop left behind."""
        if self._task.concurrency is None:
            for worker in set(self._crew.lost()) - set(self._crew.collected):
                record_unsent(self._task, worker, self._crew.size, start_ns, at_ns, window)

    def _figures(self, course: Course, now: int) -> LiveFigures:
        crew = self._crew
        figures, crew.figures = list(crew.figures.values()), {}
        waits = [each.time_to_first_token_ms for each in figures if each.time_to_first_token_ms is not None]
        phases = Phases(window_start_ns=course.window_start_ns, window_end_ns=course.window_end_ns)
        return LiveFigures(
            phase=phases.phase(now),
            done=sum(status.done for status in crew.statuses.values()),
            failed=sum(each.failed for each in figures),
            in_flight=sum(status.in_flight for status in crew.statuses.values()),
            request_rate_per_s=sum(each.requests for each in figures) / PROGRESS_EVERY_S,
            token_rate_per_s=sum(each.tokens for each in figures) / PROGRESS_EVERY_S,
            time_to_first_token_ms=median(waits) if waits else None,
        )
