"""Measure one repetition of one point: give the task to the driver, follow its events, sum up for the manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from harness.clock import now
from harness.drivers import task as tasks
from harness.drivers.driver import Driver
from harness.drivers.task import Finished, LiveFigures, MeasurementTask, WorkerFinished
from harness.errors import DriverFailed, Interrupted, TargetNotReady
from harness.measure.interruption import Interruption
from harness.measure.observer import Observer
from harness.records.manifest import Measurement, WorkerReport

LOOK_EVERY_NS = 1_000_000_000  # looking may cost the server a connection

WatchTarget = Callable[[], str | None]  # why the target is gone, None while it lives
OnFigures = Callable[[LiveFigures], None]


def measure(
    task: MeasurementTask,
    driver: Driver,
    observer: Observer,
    interruption: Interruption,
    why_target_gone: WatchTarget,
    on_figures: OnFigures,
) -> Measurement:
    """One repetition. Raises DriverFailed when the driver dies, TargetNotReady when it cannot connect at all,
    Interrupted when Ctrl-C came before the load began."""
    watch = _Watch(driver, interruption, why_target_gone)
    interruption.deferred = True
    try:
        for event in driver.measure(task, watch):
            if event.kind == tasks.WINDOW_OPENS:
                observer.read_edge("window_start", task.point_id, task.repetition, task.arm)
            elif event.kind == tasks.WINDOW_CLOSED:
                observer.read_edge("window_end", task.point_id, task.repetition, task.arm)
            elif event.kind == tasks.PROGRESS:
                on_figures(LiveFigures(**event.facts))
            elif event.kind == tasks.FAILED:
                if interruption.requested:
                    raise Interrupted("interrupted before the load began")
                raise _failure(event.facts, watch.target_gone)
            elif event.kind == tasks.FINISHED:
                return _measurement(task, Finished.from_facts(event.facts), watch.target_gone)
    finally:
        interruption.deferred = False
    raise DriverFailed("the load generator ended without a result")


class _Watch:
    """Called several times a second while the driver works: passes on Ctrl-C, and notices a target that died."""

    def __init__(self, driver: Driver, interruption: Interruption, why_target_gone: WatchTarget) -> None:
        self._driver = driver
        self._interruption = interruption
        self._why_target_gone = why_target_gone
        self._stopped = False
        self._next_look_ns: int = now()
        self.target_gone: str | None = None

    def __call__(self) -> None:
        if now() >= self._next_look_ns and self.target_gone is None:
            self.target_gone = self._why_target_gone()
            self._next_look_ns = now() + LOOK_EVERY_NS
        if (self.target_gone or self._interruption.requested) and not self._stopped:
            self._stopped = True
            self._driver.stop()


def _failure(facts: dict[str, Any], target_gone: str | None) -> DriverFailed | TargetNotReady:
    if target_gone is not None:
        return TargetNotReady(target_gone)
    if facts["target"]:
        return TargetNotReady(facts["message"], hint="is the server still up? harness engine status")
    return DriverFailed(facts["message"])


def _measurement(task: MeasurementTask, finished: Finished, target_gone: str | None) -> Measurement:
    ended, message = finished.ended, finished.message
    if target_gone is not None and ended == "interrupted":
        ended, message = "target_lost", target_gone
    return Measurement(
        point_id=task.point_id,
        repetition=task.repetition,
        arm=task.arm,
        attempt=task.attempt,
        complete=ended in ("window_over", "max_requests", "stopped_saturated"),
        ended=ended,
        start_ns=finished.start_ns,
        window_start_ns=finished.window_start_ns,
        window_end_ns=finished.window_end_ns,
        drain_end_ns=finished.drain_end_ns or now(),
        taken=finished.taken,
        never_taken=finished.never_taken,
        records_expected=finished.taken,
        workers=[_worker_report(worker) for worker in finished.workers],
        message=message,
    )


def _worker_report(finished: WorkerFinished) -> WorkerReport:
    names = {field.name for field in dataclasses.fields(WorkerReport)}
    return WorkerReport(**{name: value for name, value in dataclasses.asdict(finished).items() if name in names})
