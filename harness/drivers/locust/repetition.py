"""One repetition from the worker's side: prepare, open the barrier, announce the window, watch, drain, collect."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import gevent
import gevent.event
from locust.env import Environment

from harness.drivers import task as tasks
from harness.drivers.locust import requests
from harness.drivers.locust.decoding import decoder
from harness.drivers.locust.execution import Execution
from harness.drivers.locust.phases import Phases, quantile_of_lags
from harness.drivers.locust.recorder import FLUSH_EVERY_S, Identity, Recorder
from harness.drivers.locust.transport import POOLS, TransportPool
from harness.drivers.task import Event, Finished, LiveFigures, MeasurementTask
from harness.errors import TargetNotReady
from harness.protocols.recount import Decode
from harness.protocols.table import PROTOCOLS
from harness.records.schemas import REQUESTS
from harness.records.store import PartWriter, RunFolder, requests_part_labels

TICK_S = 0.01
PROGRESS_EVERY_S = 0.5
LATE_START_NS = 50_000_000  # users get this long to reach the barrier
STOP_DRAIN_S = 1.0  # after Ctrl-C, answers that come within this time are still kept
LOST_AFTER_S = 8.0  # nothing but connection failures for so long: the target is gone

Report = Callable[[Event], None]


class Repetition:
    """Runs one MeasurementTask on a Locust environment and reports events."""

    def __init__(self, task: MeasurementTask, environment: Environment, report: Report) -> None:
        self._task = task
        self._environment = environment
        self._report = report
        self._interrupted = False
        self._lags: list[int] = []

    def interrupt(self) -> None:
        """Ask for an early end; what was measured is kept."""
        self._interrupted = True

    def run(self) -> None:
        """Everything from preparing to the last record.

        Raises TargetNotReady when the target refuses connections, OSError when the records cannot be written.
        """
        task = self._task
        planned, decode = requests.build(task), decoder(task)
        pool = _open_pool(task)
        folder = RunFolder(Path(task.run_folder))
        labels = requests_part_labels(task.ordinal, task.repetition, task.attempt, worker=0)
        with (
            contextlib.closing(pool),
            PartWriter(folder.part_path("requests", *labels), REQUESTS) as writer,
        ):
            self._measure(planned, decode, pool, writer)

    def _measure(
        self, planned: list[requests.PlannedRequest], decode: Decode, pool: TransportPool, writer: PartWriter
    ) -> None:
        task = self._task
        start_ns = time.perf_counter_ns() + LATE_START_NS
        phases = Phases(
            start_ns, task.warm_up_ns, task.warm_up_requests, task.window_ns, task.window_requests, task.drain_limit_ns
        )
        recorder = Recorder(writer, Identity(task.point_id, task.repetition, task.arm), phases.phase)
        execution = Execution(planned, pool, phases, recorder, decode)
        self._environment.execution = execution
        self._report(Event(tasks.READY, {"requests": len(planned)}))
        runner = self._environment.runner
        runner.start(task.concurrency, spawn_rate=task.concurrency)
        flushing_ends = gevent.event.Event()
        flusher = gevent.spawn(_flush_regularly, recorder, flushing_ends)
        cpu, wall = _cpu_s(), time.perf_counter()
        with _collector_paused():
            gevent.sleep(max(0.0, (start_ns - time.perf_counter_ns()) / 1e9))
            execution.start.set()
            self._watch(execution, recorder)
            drain_end_ns = time.perf_counter_ns()
        cpu, wall = _cpu_s() - cpu, time.perf_counter() - wall
        flushing_ends.set()
        flusher.join()
        runner.stop()
        self._report(
            Event(tasks.FINISHED, dataclasses.asdict(self._finished(execution, recorder, drain_end_ns, cpu, wall)))
        )

    def _watch(self, execution: Execution, recorder: Recorder) -> None:
        """Tick until the repetition is over; at each tick look at the phases, the sink and the target."""
        phases, next_progress, ticked = execution.phases, time.monotonic() + PROGRESS_EVERY_S, time.perf_counter_ns()
        closed, failing_since = False, 0.0
        while True:
            gevent.sleep(TICK_S)
            now = time.perf_counter_ns()
            self._lags.append(max(0, now - ticked - int(TICK_S * 1e9)))
            if phases.announce(now):
                self._report(Event(tasks.WINDOW_OPENS, {"window_start_ns": phases.window_start_ns}))
            if not closed and phases.window_closed(now):
                closed = True
                self._report(Event(tasks.WINDOW_CLOSED, {"window_end_ns": phases.window_end_ns}))
            if time.monotonic() >= next_progress:
                next_progress += PROGRESS_EVERY_S
                self._report(Event(tasks.PROGRESS, dataclasses.asdict(_figures(execution, now))))
                execution.recent.clear()
            failing_since = _failing_since(execution, failing_since)
            self._stop_if_needed(phases, recorder, failing_since, now)
            if phases.stopped_ns is not None or phases.is_over(now):
                break
            ticked = time.perf_counter_ns()
        self._drain(execution)

    def _stop_if_needed(self, phases: Phases, recorder: Recorder, failing_since: float, now: int) -> None:
        if self._interrupted:
            phases.stop(now, "interrupted")
        elif recorder.error is not None:
            phases.stop(now, "driver_failed")
        elif failing_since and time.monotonic() - failing_since > LOST_AFTER_S:
            phases.stop(now, "target_lost")

    def _drain(self, execution: Execution) -> None:
        """Let the last answers of an early end arrive, then cut what is still in flight."""
        phases = execution.phases
        limit_s = STOP_DRAIN_S
        if phases.ended == "max_requests":
            limit_s = self._task.drain_limit_ns / 1e9
        deadline = time.monotonic() + (limit_s if phases.stopped_ns is not None else 0.0)
        while execution.in_flight and time.monotonic() < deadline and not self._interrupted_late(phases):
            gevent.sleep(TICK_S)
        execution.cut(lambda phase: _cut_outcome(phase, phases.ended))
        deadline = time.monotonic() + 2.0
        while execution.in_flight and time.monotonic() < deadline:
            gevent.sleep(TICK_S)

    def _interrupted_late(self, phases: Phases) -> bool:
        return self._interrupted and phases.ended != "interrupted"

    def _finished(
        self, execution: Execution, recorder: Recorder, drain_end_ns: int, cpu_s: float, wall_s: float
    ) -> Finished:
        phases = execution.phases
        return Finished(
            ended="driver_failed" if recorder.error is not None else phases.ended,
            start_ns=phases.start_ns,
            window_start_ns=phases.window_start_ns,
            window_end_ns=phases.window_end_ns,
            drain_end_ns=drain_end_ns,
            taken=phases.taken,
            never_taken=execution.never_taken,
            records_written=recorder.written,
            records_failed=recorder.failed,
            sink_error=recorder.error,
            cpu_s=cpu_s,
            wall_s=wall_s,
            flush_ns_max=recorder.flush_ns_max,
            loop_lag_ns_p99=quantile_of_lags(self._lags, 0.99),
            loop_lag_ns_max=max(self._lags, default=None),
        )


def _open_pool(task: MeasurementTask) -> TransportPool:
    pool = POOLS[PROTOCOLS[task.protocol].transport](task.address)
    try:
        pool.open(task.concurrency)
    except OSError as error:
        raise TargetNotReady(f"cannot connect to {task.address.host}:{task.address.port}: {error}") from error
    return pool


def _cut_outcome(phase: str, ended: str) -> tuple[str, str]:
    if phase == "window" and ended in ("window_over", "max_requests"):
        return "timeout", "not done within the drain limit"
    return "cancelled", "cut off: the load ended" if ended == "window_over" else f"cut off: {ended.replace('_', ' ')}"


def _failing_since(execution: Execution, since: float) -> float:
    """The monotonic second since which nothing but failures came back; 0 while something works."""
    if execution.failures_in_a_row == 0 or any(item.answer.outcome != "connect_error" for item in execution.recent):
        return 0.0
    return since or time.monotonic()


def _figures(execution: Execution, now: int) -> LiveFigures:
    recent = execution.recent
    latencies = [
        (item.answer.chunk_stamps_ns[0] - item.sent_ns) / 1e6 for item in recent if item.answer.chunk_stamps_ns
    ]
    return LiveFigures(
        phase=execution.phases.phase(now),
        done=execution.phases.done,
        failed=sum(item.answer.outcome not in ("ok", "cancelled") for item in recent),
        in_flight=execution.in_flight,
        request_rate_per_s=len(recent) / PROGRESS_EVERY_S,
        token_rate_per_s=sum(sum(item.answer.chunk_tokens) for item in recent) / PROGRESS_EVERY_S,
        time_to_first_token_ms=median(latencies) if latencies else None,
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
