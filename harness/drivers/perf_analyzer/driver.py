"""The perf_analyzer driver: inputs from the plan, one process per repetition, its export as record rows.

It is blind while the tool runs: no window events (so no server counters at the window's edges) and no live figures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from harness.drivers import planned
from harness.drivers import task as tasks
from harness.drivers.perf_analyzer import command, export, extent, inputs, install, refusals, rows, wall_clock
from harness.drivers.perf_analyzer.child import Child, failure
from harness.drivers.perf_analyzer.cut import Cut, cut
from harness.drivers.perf_analyzer.rows import Matched
from harness.drivers.planned import PlannedRow, Prompts
from harness.drivers.task import Event, Finished, MeasurementTask, WorkerFinished
from harness.errors import DriverFailed, RunFolderError, TargetNotReady
from harness.records.schemas import REQUESTS
from harness.records.store import PartWriter, RunFolder, requests_part_labels
from harness.units import to_seconds

START_LIMIT_S = 60.0  # reading the inputs, connecting, writing the export
SLOWER_BY = 4.0  # how much longer than expected a run may take before it counts as stuck
QUIET_S = 60.0  # or how long it may idle, if the request timeout is shorter


@dataclass(frozen=True)
class _Ran:
    """One process that ended well. Instants of `items` are on the run's clock."""

    items: list[Matched]
    clock: wall_clock.WallClock
    cpu_s: float
    wall_s: float
    command: list[str]


class PerfAnalyzerDriver:
    """Context manager with the same contract as the Locust driver. Raises UsageError when the tool is missing."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._child: Child | None = None
        self._stopped = False

    def __enter__(self) -> PerfAnalyzerDriver:
        self._tool = install.require()
        self._scratch = Path(tempfile.mkdtemp(prefix="harness-perf-analyzer-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.end()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def pid(self) -> int:
        """This process: perf_analyzer is its child, a new one for each repetition."""
        return os.getpid()

    def stop(self) -> None:
        """End the tool now: what it has measured is lost, it exports at its end only."""
        self._stopped = True

    def measure(self, task: MeasurementTask, idle: Callable[[], None]) -> Iterator[Event]:
        """Execute one task; yields READY and FINISHED, or FAILED. `idle` is called several times a second.

        Raises UsageError for what perf_analyzer cannot do, DriverFailed when it breaks.
        """
        self._stopped = False
        all_rows = planned.read(task)
        refusals.refuse(task, all_rows)
        began_ns = time.perf_counter_ns()
        try:
            yield from self._measure(task, all_rows, Prompts(task), idle)
        except _Stopped:
            yield Event(tasks.FINISHED, dataclasses.asdict(_interrupted(began_ns)))
        except TargetNotReady as error:
            yield Event(tasks.FAILED, {"message": str(error), "target": True})

    def _measure(
        self, task: MeasurementTask, all_rows: list[PlannedRow], prompts: Prompts, idle: Callable[[], None]
    ) -> Iterator[Event]:
        is_open = task.concurrency is None
        rehearsal: _Ran | None = None
        if not is_open and extent.needs_rehearsal(task):
            count = extent.REHEARSAL_PER_USER * (task.concurrency or 1)
            limit_s = extent.REHEARSAL_PER_USER * to_seconds(all_rows[0].timeout_ns)
            rehearsal = self._run(task, all_rows[:count], prompts, limit_s, idle)
        rest = all_rows[len(rehearsal.items) if rehearsal else 0 :]
        chosen, expected_s = _choose(task, rest, rehearsal)
        yield Event(tasks.READY, {"requests": len(chosen)})
        limit_s = SLOWER_BY * expected_s + to_seconds(all_rows[0].timeout_ns)
        ran = self._run(task, chosen, prompts, limit_s, idle)
        yield Event(tasks.FINISHED, dataclasses.asdict(self._keep(task, all_rows, prompts, rehearsal, ran)))

    def _run(
        self,
        task: MeasurementTask,
        chosen: list[PlannedRow],
        prompts: Prompts,
        limit_s: float,
        idle: Callable[[], None],
    ) -> _Ran:
        """Let perf_analyzer send these rows. Raises DriverFailed, TargetNotReady, or _Stopped."""
        if not chosen:
            raise RunFolderError("the plan has too few requests for perf_analyzer", hint="raise load.max_requests")
        given, exported, pace = (self._scratch / name for name in ("inputs.json", "export.json", "intervals.txt"))
        exported.unlink(missing_ok=True)
        with given.open("w", encoding="utf-8") as file:
            keys = inputs.write(chosen, prompts, task.inputs, file)
        offsets = [row.intended_offset_ns for row in chosen if row.intended_offset_ns is not None]
        if offsets:
            pace.write_text("".join(f"{interval}\n" for interval in command.intervals_us(offsets)), encoding="utf-8")
        line = command.command(
            task,
            self._tool.path,
            inputs=given,
            export=exported,
            requests=len(chosen),
            intervals=pace if offsets else None,
        )
        before = wall_clock.read()
        quiet_s = max(QUIET_S, to_seconds(chosen[0].timeout_ns)) + to_seconds(_longest_gap_ns(offsets))
        child = self._follow(line, START_LIMIT_S + limit_s, quiet_s, idle)
        clock = wall_clock.WallClock(before, wall_clock.read())
        found = rows.match(_read_export(exported, self._log_path), keys, clock.to_monotonic_ns)
        if len(found) != len(chosen):
            raise DriverFailed(f"perf_analyzer exported {len(found)} of {len(chosen)} requests")
        wall_s = (max(item.done_ns for item in found) - min(item.sent_ns for item in found)) / 1e9
        return _Ran(_intended(found) if offsets else found, clock, child.cpu_s, wall_s, line)

    def _follow(self, line: Sequence[str], limit_s: float, quiet_s: float, idle: Callable[[], None]) -> Child:
        child = self._child = Child(line, self._tool.environment, self._log_path)
        for _ in child.wait(limit_s, quiet_s):
            idle()
            if self._stopped:
                child.end()
                raise _Stopped
        code = child.poll()
        if code:
            raise failure(code, child.said(), self._log_path)
        return child

    def _keep(
        self,
        task: MeasurementTask,
        all_rows: Sequence[PlannedRow],
        prompts: Prompts,
        rehearsal: _Ran | None,
        ran: _Ran,
    ) -> Finished:
        """Cut the phases, write the records and how they came about."""
        is_open = task.concurrency is None
        start_ns = min(item.span.origin_ns for item in ran.items)
        if is_open:
            start_ns -= min(item.row.intended_offset_ns or 0 for item in ran.items)
        phases = cut(task, start_ns, [item.span for item in ran.items], closed=not is_open)
        items = [*(rehearsal.items if rehearsal else []), *ran.items]
        exact = prompts.exact or "text_input" not in task.inputs
        labels = requests_part_labels(task.ordinal, task.repetition, task.attempt, worker=0)
        folder = RunFolder(Path(task.run_folder))
        began_ns, error = time.perf_counter_ns(), None
        try:
            with PartWriter(folder.part_path("requests", *labels), REQUESTS) as writer:
                writer.write(rows.table(task, items, phases, input_tokens_exact=exact))
        except OSError as problem:
            error = f"cannot write records: {problem.strerror or problem}"
        flush_ns = time.perf_counter_ns() - began_ns
        with contextlib.suppress(OSError):
            folder.write_text(f"perf_analyzer-{'-'.join(labels)}.json", self._account(ran, rehearsal))
        return _finished(phases, items, len(all_rows), ran, flush_ns, error)

    def _account(self, ran: _Ran, rehearsal: _Ran | None) -> str:
        """What the records cannot tell: version, command, how well the clocks were joined."""
        facts = {
            "perf_analyzer_version": self._tool.version,
            "command": [Path(ran.command[0]).name, *ran.command[1:]],
            "requests": len(ran.items),
            "rehearsal_requests": len(rehearsal.items) if rehearsal else 0,
            "wall_clock_offset_before_ns": ran.clock.before.offset_ns,
            "wall_clock_offset_after_ns": ran.clock.after.offset_ns,
            "instant_error_bound_ns": ran.clock.bound_ns,
        }
        return json.dumps(facts, indent=2) + "\n"


class _Stopped(Exception):  # no error: control flow of one file
    """The measurement was asked to end."""


def _choose(task: MeasurementTask, rest: list[PlannedRow], rehearsal: _Ran | None) -> tuple[list[PlannedRow], float]:
    """The rows to send, and about how long that takes in seconds."""
    offsets = [row.intended_offset_ns for row in rest if row.intended_offset_ns is not None]
    if offsets:
        chosen = rest[: extent.open_count(task, offsets)]
        return chosen, to_seconds(offsets[len(chosen) - 1]) if chosen else 0.0
    latencies = [item.done_ns - item.sent_ns for item in rehearsal.items] if rehearsal else []
    chosen = rest[: extent.closed_count(task, latencies)]
    longest = max(latencies, default=rest[0].timeout_ns if rest else 0)
    return chosen, to_seconds(longest) * (len(chosen) / (task.concurrency or 1) + 1)


def _longest_gap_ns(offsets_ns: Sequence[int]) -> int:
    return max((after - before for before, after in zip([0, *offsets_ns], offsets_ns, strict=False)), default=0)


def _intended(items: Sequence[Matched]) -> list[Matched]:
    """The intended instants. The tool does not tell when it began: no request can have been sent before its time."""
    start_ns = min(item.sent_ns - (item.row.intended_offset_ns or 0) for item in items)
    return [dataclasses.replace(item, intended_ns=start_ns + (item.row.intended_offset_ns or 0)) for item in items]


def _read_export(path: Path, log: Path) -> list[export.Reply]:
    try:
        return export.replies(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DriverFailed(f"perf_analyzer left no readable export: {error}", hint=f"its output: {log}") from error


def _finished(
    phases: Cut, items: Sequence[Matched], planned_rows: int, ran: _Ran, flush_ns: int, error: str | None
) -> Finished:
    worker = WorkerFinished(
        worker=0,
        taken=len(items),
        never_taken=planned_rows - len(items),
        drain_end_ns=phases.drain_end_ns,
        records_written=0 if error else len(items),
        records_failed=len(items) if error else 0,
        sink_error=error,
        cpu_s=ran.cpu_s,
        wall_s=ran.wall_s,
        flush_ns_max=flush_ns,
        loop_lag_ns_p99=None,
        loop_lag_ns_max=None,
    )
    return Finished(
        ended="driver_failed" if error else phases.ended,
        start_ns=phases.start_ns,
        window_start_ns=phases.window_start_ns,
        window_end_ns=phases.window_end_ns,
        drain_end_ns=phases.drain_end_ns,
        message=error,
        workers=[worker],
    )


def _interrupted(began_ns: int) -> Finished:
    now = time.perf_counter_ns()
    return Finished("interrupted", began_ns, None, None, now, "perf_analyzer exports nothing when it is stopped", [])
