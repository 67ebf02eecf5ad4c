"""The bench of a campaign: an open target with a driver in front of it and an observer beside it.

Every campaign measures the same way: "this repetition of this point, on this deployment". What is measured next, and
on which deployment, is the campaign's own business.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.campaigns.display import Display
from harness.drivers import chosen
from harness.drivers.driver import Driver
from harness.errors import DriverFailed, Interrupted, TargetNotReady
from harness.measure.assignment import assignment
from harness.measure.interruption import Interruption
from harness.measure.observer import Observer
from harness.measure.repetition import measure
from harness.records.manifest import Manifest, Measurement, Point
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario
from harness.target.opened import OpenTarget

Repetition = tuple[Point, int]


@dataclass(frozen=True)
class Work:
    """What stays the same through a campaign: the scenario, its run folder, who may stop it and who watches."""

    scenario: Scenario
    folder: RunFolder
    interruption: Interruption
    display: Display


@dataclass(frozen=True)
class Bench:
    """One open deployment, ready to measure its points. Made by `opened`."""

    work: Work
    target: OpenTarget
    driver: Driver
    observer: Observer
    missing_before: Mapping[str, str] = field(default_factory=dict)  # telemetry that earlier sessions lacked

    def measure(self, manifest: Manifest, point: Point, repetition: int) -> tuple[Manifest, Measurement]:
        """Measure one repetition; the manifest that is returned holds it and is written already.

        Look at the measurement's `ended`, or pass it to `stop_unless_complete`. Raises DriverFailed, TargetNotReady
        and Interrupted where nothing was measured.
        """
        work = self.work
        task = assignment(work.scenario, work.folder, manifest, self.target, point, repetition)
        result = measure(
            task, self.driver, self.observer, work.interruption, self.target.check_alive, work.display.figures
        )
        missing = {**self.missing_before, **self.observer.not_available()}
        measured = dataclasses.replace(manifest.with_measurement(result), telemetry_not_available=missing)
        work.folder.write_manifest(measured)
        return measured, result


@contextlib.contextmanager
def opened_driver(work: Work, names: Sequence[str], web_ui_port: int | None = None) -> Iterator[Driver]:
    """The load generator, for as long as the block lasts; its log is the run folder's `driver.log`."""
    log, processes = work.folder.path / "driver.log", work.scenario.load_generator.processes
    with chosen.opened(names, log, processes, web_ui_port) as driver:
        yield driver


@contextlib.contextmanager
def opened(work: Work, manifest: Manifest, target: OpenTarget, driver: Driver, session: str = "") -> Iterator[Bench]:
    """A bench around a target that is open. `session` tells the files of one attempt apart: one per open target."""
    label = f"a{manifest.attempt}{f'-{session}' if session else ''}"
    with Observer(work.folder, label, work.scenario.telemetry, target.endpoint, driver.pid) as observer:
        yield Bench(work, target, driver, observer, manifest.telemetry_not_available if session else {})


def refuse(
    work: Work, manifest: Manifest, target: OpenTarget, todo: Sequence[Repetition], names: Sequence[str]
) -> None:
    """Raise UsageError where a driver cannot do what is planned, before anything is sent. `names`: of the drivers."""
    for point in {item.point_id: item for item, _ in todo}.values():
        name = chosen.driver_of(point.point_id) if len(names) > 1 else names[0]
        chosen.refuse(name, assignment(work.scenario, work.folder, manifest, target, point, 0))


def measure_all(bench: Bench, manifest: Manifest, todo: Sequence[Repetition]) -> Manifest:
    """Measure these one after the other, telling the display; returns the manifest with all of them.

    Raises what `stop_unless_complete` raises; what was measured until then is in the folder.
    """
    for number, (point, repetition) in enumerate(todo, start=1):
        bench.work.display.repetition_started(point, repetition, number, len(todo))
        manifest, result = bench.measure(manifest, point, repetition)
        bench.work.display.repetition_finished(result)
        stop_unless_complete(result, bench.work.interruption)
    return manifest


def is_measured(manifest: Manifest, point: Point, repetition: int) -> bool:
    """Whether this repetition has its end mark."""
    return any(
        m.complete and (m.point_id, m.repetition, m.arm) == (point.point_id, repetition, point.arm)
        for m in manifest.measurements
    )


def stop_unless_complete(result: Measurement, interruption: Interruption) -> None:
    """Raise TargetNotReady, DriverFailed or Interrupted where the repetition ended for such a reason."""
    if result.ended == "target_lost":
        raise TargetNotReady(result.message or "the target stopped answering: nothing but connection failures")
    if result.ended == "driver_failed":
        raise DriverFailed(result.message or "the load generator failed")
    if interruption.requested or result.ended == "interrupted":
        raise Interrupted("interrupted")
