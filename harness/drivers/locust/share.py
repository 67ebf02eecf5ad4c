"""One worker's share of a repetition: prepare, wait for the common start, load, drain, write the last record."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import gevent
import gevent.event

from harness.drivers.locust import requests
from harness.drivers.locust.closed_loop import ClosedLoop
from harness.drivers.locust.decoding import reading_of
from harness.drivers.locust.execution import Execution
from harness.drivers.locust.lateness import Lateness
from harness.drivers.locust.messages import Figures, Status
from harness.drivers.locust.open_loop import OpenLoop
from harness.drivers.locust.pacer import WAKE_EARLY_NS
from harness.drivers.locust.phases import Phases, quantile_of_lags
from harness.drivers.locust.pool import STREAMS_PER_CONNECTION
from harness.drivers.locust.recorder import FLUSH_EVERY_S, FinishedRequest, Identity, Recorder
from harness.drivers.locust.transport import POOLS, TransportPool
from harness.drivers.task import MeasurementTask, WorkerFinished
from harness.errors import TargetNotReady
from harness.protocols.table import PROTOCOLS
from harness.records.schemas import REQUESTS
from harness.records.store import PartWriter, RunFolder, requests_part_labels

TICK_S = 0.01
STATUS_EVERY_S = 0.05
FIGURES_EVERY_S = 0.5
STOP_DRAIN_S = 1.0  # after an early end, answers that come within this time are still kept
LEAVE_WITHIN_S = 2.0

SendStatus = Callable[[dict[str, Any]], None]


class Share:
    """What worker `worker` of `workers` does for one task. `go` is set to the content of the message GO."""

    def __init__(
        self, task: MeasurementTask, worker: int, workers: int, fire: Callable[[FinishedRequest], None]
    ) -> None:
        self._task = task
        self._worker = worker
        self._workers = workers
        self._fire = fire
        self._phases = Phases(window_requests=task.window_requests if task.concurrency is not None else None)
        self._lateness = Lateness(task.late_after_ns, open_loop=task.concurrency is None)
        self._end = gevent.event.Event()
        self._why = ""
        self._ended_at_ns = 0
        self._hurry = False
        self._seats = self.seats
        self._lags: list[int] = []
        self._recent: list[FinishedRequest] = []  # since the last figures
        self.go: gevent.event.AsyncResult = gevent.event.AsyncResult()

    @property
    def seats(self) -> int:
        """Users of this worker that take part: its part of the concurrency, or the one that paces."""
        concurrency = self._task.concurrency
        return 1 if concurrency is None else part_of(concurrency, self._worker, self._workers)

    def open_window(self, start_ns: int, end_ns: int | None) -> None:
        """The conductor's announcement."""
        self._phases.open_window(start_ns, end_ns)

    def end(self, why: str, at_ns: int) -> None:
        """End the load as of the instant `at_ns`; before the start: give up. A second call only hurries the drain."""
        if self._end.is_set():
            self._hurry = True
            return
        self._why, self._ended_at_ns = why, at_ns
        self._end.set()
        if not self.go.ready():
            self.go.set(None)

    @contextlib.contextmanager
    def prepared(self) -> Iterator[dict[str, Any]]:
        """Requests built, connections and part file open; yields what the conductor wants to know.

        Raises TargetNotReady when the target refuses connections, OSError when the records cannot be written.
        """
        task = self._task
        self._plan = requests.build(task, self._worker, self._workers)
        self._reading = reading_of(task)
        planned = sum(len(session) for session in self._plan.sessions)
        labels = requests_part_labels(task.ordinal, task.repetition, task.attempt, self._worker)
        with (
            contextlib.closing(_open_pool(task, self.seats)) as self._pool,
            PartWriter(RunFolder(Path(task.run_folder)).part_path("requests", *labels), REQUESTS) as writer,
        ):
            identity = Identity(task.point_id, task.repetition, task.arm, self._worker, task.concurrency is None)
            self._recorder = Recorder(writer, identity, self._phases.phase)
            yield {"requests": planned, "window_length_ns": self._plan.window_length_ns}

    def run(self, seat_users: Callable[[Share], None], send: SendStatus) -> WorkerFinished | None:
        """Load from the common start to the last record; None when the repetition was given up before."""
        start = self.go.get()
        if start is None:
            return None
        self._build(start)
        flushing_ends = gevent.event.Event()
        flusher = gevent.spawn(_flush_regularly, self._recorder, flushing_ends)
        decoder = gevent.spawn(self._execution.decode_later)
        with _collector_paused():
            sleep_until(start["start_ns"])
            cpu, wall = _cpu_s(), time.perf_counter()
            seat_users(self)
            self._watch(send)
            self._drain()
            drain_end_ns = time.perf_counter_ns()
            decoder.kill()
            self._execution.settle()
            cpu, wall = _cpu_s() - cpu, time.perf_counter() - wall
        flushing_ends.set()
        flusher.join()
        return self._finished(drain_end_ns, cpu, wall)

    def take_part(self) -> None:
        """One user's life in this repetition, if there is a seat for it."""
        if self._seats > 0:
            self._seats -= 1
            self._loop.live()

    def _build(self, start: dict[str, Any]) -> None:
        task, plan = self._task, self._plan
        open_loop = task.concurrency is None
        self._execution = Execution(
            self._pool, self._phases, self._keep, self._reading, open_loop=open_loop, puts_off_decoding=True
        )
        self._loop: ClosedLoop | OpenLoop
        if open_loop:
            self.open_window(start["window_start_ns"], start["window_end_ns"])
            most = task.max_in_flight and max(1, part_of(task.max_in_flight, self._worker, self._workers))
            self._loop = OpenLoop(plan.sessions, self._execution, start["start_ns"], most)
        else:
            self._loop = ClosedLoop(plan.sessions, self._execution)

    def _keep(self, finished: FinishedRequest) -> None:
        self._recorder.add(finished)
        self._lateness.add(finished)
        if finished.sent_ns is not None:
            self._recent.append(finished)
            self._fire(finished)

    def _watch(self, send: SendStatus) -> None:
        """Tick until the conductor ends the load; report how the share stands."""
        ticked, next_status, next_figures = time.perf_counter_ns(), 0.0, time.monotonic() + FIGURES_EVERY_S
        failing_since = 0.0
        while not self._end.wait(TICK_S):
            now, now_s = time.perf_counter_ns(), time.monotonic()
            self._lags.append(max(0, now - ticked - int(TICK_S * 1e9)))
            failing_since = self._failing_since(failing_since)
            if now_s >= next_status:
                next_status = now_s + STATUS_EVERY_S
                figures = None
                if now_s >= next_figures:
                    next_figures += FIGURES_EVERY_S
                    figures = _figures(self._recent)
                    self._recent.clear()
                send(dataclasses.asdict(self._status(now, now_s - failing_since if failing_since else 0.0, figures)))
                if self._task.concurrency is None:  # a closed loop has a seat for each of its users from the start
                    self._pool.make_room(self._loop.active)
            ticked = time.perf_counter_ns()

    def _status(self, now: int, failing_s: float, figures: Figures | None) -> Status:
        return Status(
            worker=self._worker,
            at_ns=now,
            done=self._phases.done,
            in_flight=self._execution.in_flight + self._loop.waiting,
            cohort_open=self._phases.cohort_open + self._loop.overdue,
            window_end_ns=self._phases.window_end_ns,
            exhausted_ns=self._loop.exhausted_ns,
            failing_s=failing_s,
            sink_error=self._recorder.error,
            figures=figures,
            late=self._lateness.counts(self._phases.window_start_ns, self._phases.window_end_ns),
        )

    def _failing_since(self, since: float) -> float:
        """The monotonic second since which nothing but failures came back; 0 while something works."""
        if self._execution.failures_in_a_row == 0 or any(f.answer.outcome != "connect_error" for f in self._recent):
            return 0.0
        return since or time.monotonic()

    def _drain(self) -> None:
        """Let the last answers of an early end arrive, then cut what is still in flight."""
        self._phases.stop(self._ended_at_ns, self._why)
        self._loop.end()
        limits_s = {"window_over": 0.0, "max_requests": self._task.drain_limit_ns / 1e9}
        self._wait_until_idle(limits_s.get(self._why, STOP_DRAIN_S))
        deadline = time.monotonic() + LEAVE_WITHIN_S
        while self._loop.active and time.monotonic() < deadline:
            self._execution.cut(lambda phase: _cut_outcome(phase, self._phases.ended))
            gevent.sleep(TICK_S)

    def _wait_until_idle(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self._loop.active and time.monotonic() < deadline and not self._hurry:
            gevent.sleep(TICK_S)

    def _finished(self, drain_end_ns: int, cpu_s: float, wall_s: float) -> WorkerFinished:
        recorder, planned = self._recorder, sum(len(session) for session in self._plan.sessions)
        return WorkerFinished(
            worker=self._worker,
            taken=self._phases.taken,
            never_taken=planned - self._phases.taken,
            drain_end_ns=drain_end_ns,
            records_written=recorder.written,
            records_failed=recorder.failed,
            sink_error=recorder.error,
            cpu_s=cpu_s,
            wall_s=wall_s,
            flush_ns_max=recorder.flush_ns_max,
            loop_lag_ns_p99=quantile_of_lags(self._lags, 0.99),
            loop_lag_ns_max=max(self._lags, default=None),
        )


def part_of(total: int, worker: int, workers: int) -> int:
    """This worker's part of a number; the parts of all workers add up to it."""
    return total // workers + (worker < total % workers)


def sleep_until(instant_ns: int) -> None:
    """Sleep until shortly before, then yield to the other greenlets until the instant has come."""
    while (left := instant_ns - time.perf_counter_ns()) > 0:
        gevent.sleep(max(0, left - WAKE_EARLY_NS) / 1e9)


def _open_pool(task: MeasurementTask, seats: int) -> TransportPool:
    pool = POOLS[PROTOCOLS[task.protocol].transport](task.address)
    try:
        pool.open(seats if task.concurrency is not None else STREAMS_PER_CONNECTION)
    except OSError as error:
        raise TargetNotReady(f"cannot connect to {task.address.host}:{task.address.port}: {error}") from error
    return pool


def _cut_outcome(phase: str, ended: str) -> tuple[str, str]:
    if phase == "window" and ended in ("window_over", "max_requests"):
        return "timeout", "not done within the drain limit"
    return "cancelled", "cut off: the load ended" if ended == "window_over" else f"cut off: {ended.replace('_', ' ')}"


def _figures(recent: list[FinishedRequest]) -> Figures:
    """For the progress display."""
    waits = [
        (item.answer.chunk_stamps_ns[0] - item.sent_ns) / 1e6
        for item in recent
        if item.answer.chunk_stamps_ns and item.sent_ns is not None
    ]
    return Figures(
        requests=len(recent),
        failed=sum(item.answer.outcome not in ("ok", "cancelled") for item in recent),
        tokens=sum(sum(item.answer.chunk_tokens) for item in recent),
        time_to_first_token_ms=median(waits) if waits else None,
    )


def _flush_regularly(recorder: Recorder, ends: gevent.event.Event) -> None:
    """Flush every few seconds, and once more when told to end: never killed, or a slice would be lost."""
    while not ends.wait(FLUSH_EVERY_S):
        recorder.flush()
    recorder.flush()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection while time stamps are taken: a full collection can take tens of milliseconds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
