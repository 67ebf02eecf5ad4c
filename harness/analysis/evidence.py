"""What validity is judged from: one point's rows, measurements and summary, and nothing outside the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.metrics.columns import MISSING, Flags, Floats, Ints, RepetitionKey, Rows, known, rows_of
from harness.metrics.repetition import Repetition
from harness.metrics.results import PointSummary, Reason
from harness.metrics.summary import measurements_of
from harness.metrics.window import Window, origins, window_of
from harness.records.calibration import Calibration
from harness.records.manifest import Deployment, Manifest, Measurement, Point
from harness.records.schemas import REQUESTS, TELEMETRY
from harness.scenario.load import ClosedLoop, MultiTenant, OpenLoop

AnyLoad = ClosedLoop | OpenLoop | MultiTenant


@dataclass(frozen=True)
class Beside:
    """What a run folder holds besides manifest and records; whatever is missing silences the reasons that need it."""

    load: AnyLoad | None = None  # of the scenario: names the arrival process
    plan: pa.Table | None = None  # schema PLAN
    telemetry: pa.Table = field(default_factory=TELEMETRY.empty_table)
    calibration: Calibration | None = None
    parts_from_file: frozenset[tuple[str, str]] = frozenset()  # (workload, part) whose prompts are texts of a file


@dataclass(frozen=True)
class MeasuredRepetition:
    """One repetition as it was measured."""

    measurement: Measurement
    point: Point
    deployment: Deployment
    rows: Rows
    beside: Beside

    @cached_property
    def window(self) -> Window | None:
        """The measured interval; None when it never opened."""
        return window_of(self.measurement)

    @cached_property
    def repetition(self) -> Repetition | None:
        """The same rows, ready for the formulas of the metrics; None when the window never opened."""
        return None if self.window is None else Repetition(self.point, self.deployment, self.window, self.rows, ())

    @cached_property
    def origin_ns(self) -> Ints:
        """The instant from which each request's latency counts."""
        return origins(self.point, self.rows)

    @cached_property
    def cohort(self) -> Flags:
        """Requests of the window; none when it never opened."""
        return np.zeros(len(self.rows), dtype=bool) if self.window is None else self.window.holds(self.origin_ns)

    @cached_property
    def ended_ns(self) -> Ints:
        """The last instant at which each request was observed: done, else the end of the drain."""
        return np.where(known(self.rows.done_ns), self.rows.done_ns, self.measurement.drain_end_ns)

    @property
    def open_loop(self) -> bool:
        """Whether requests had intended instants."""
        return self.point.load_kind == "open_loop"

    @property
    def concurrency_cap(self) -> int | None:
        """Beyond so many in flight the arrivals of an open loop wait in the client, as the scenario asks."""
        load = self.beside.load
        return load.concurrency_cap if isinstance(load, OpenLoop | MultiTenant) else None

    def in_flight_at(self, instants_ns: Ints) -> Ints:
        """Our requests in flight just before each instant."""
        sent = known(self.rows.sent_ns)
        begun, ended = np.sort(self.rows.sent_ns[sent]), np.sort(self.ended_ns[sent])
        return np.searchsorted(begun, instants_ns, side="left") - np.searchsorted(ended, instants_ns, side="left")

    @property
    def first_seen_ns(self) -> Ints:
        """When the first of each answer was seen: its first token; where answers come whole, the answer."""
        rows = self.rows
        return rows.first_token_ns if self.point.streamed else np.where(rows.ok, rows.done_ns, MISSING)

    @cached_property
    def response_p50_ns(self) -> float | None:
        """The median time from send to what is first seen: what the instrument's own errors are measured by."""
        seen, sent = self.first_seen_ns, self.rows.sent_ns
        chosen = self.cohort & known(seen) & known(sent)
        return float(np.median(seen[chosen] - sent[chosen])) if chosen.any() else None

    @property
    def response_name(self) -> str:
        """What `response_p50_ns` is the median of."""
        return "time to first token" if self.point.streamed else "request latency"

    @property
    def parts_from_file(self) -> list[str]:
        """Parts of this point's workload whose prompts are texts of a file."""
        return sorted(part for workload, part in self.beside.parts_from_file if workload == self.point.workload)

    @cached_property
    def reply_turns(self) -> Flags:
        """Requests that repeat real replies: their prompts have the planned length only if the replies had."""
        plan, point = self.beside.plan, self.point
        if plan is None:
            return np.zeros(len(self.rows), dtype=bool)
        chosen = pc.and_(pc.equal(plan["point_id"], point.point_id), pc.is_valid(plan["new_input_tokens"]))
        numbers = plan.filter(pc.and_(chosen, pc.equal(plan["repetition"], self.measurement.repetition)))["index"]
        return np.isin(self.rows.table["index"].to_numpy(), numbers.to_numpy())

    def telemetry(self, source: str | None, metric: str, *, margin_ns: int = 0) -> list[tuple[str, Ints, Floats]]:
        """(entity, instants, values) of one metric in the window, give or take a margin."""
        if self.window is None:
            return []
        return _samples(self.beside.telemetry, source, metric, self.window, margin_ns)


def _samples(
    table: pa.Table, source: str | None, metric: str, window: Window, margin_ns: int
) -> list[tuple[str, Ints, Floats]]:
    chosen = pc.and_(pc.equal(table["metric"], metric), pc.greater_equal(table["time_ns"], window.start_ns - margin_ns))
    chosen = pc.and_(chosen, pc.less_equal(table["time_ns"], window.end_ns + margin_ns))
    if source is not None:
        chosen = pc.and_(chosen, pc.equal(table["source"], source))
    rows = table.filter(chosen).sort_by("time_ns")
    found = []
    for entity in sorted(set(rows["entity"].to_pylist())):
        own = rows.filter(pc.equal(rows["entity"], entity))
        found.append((entity, own["time_ns"].to_numpy(), own["value"].to_numpy()))
    return found


@dataclass(frozen=True)
class Evidence:
    """Everything about one point."""

    point: Point
    repetitions: Sequence[MeasuredRepetition]
    summary: PointSummary
    percentiles: Sequence[tuple[str, str]]  # (metric, statistic) that somebody will look at
    beside: Beside

    def only(self, repetitions: Sequence[MeasuredRepetition]) -> Evidence:
        """The evidence about some of the repetitions, as if no other had been asked for."""
        numbers = {r.measurement.repetition for r in repetitions}
        own = [each for each in self.summary.repetitions if each.repetition in numbers]
        return replace(
            self,
            point=replace(self.point, repetitions=len(repetitions)),
            repetitions=repetitions,
            summary=replace(self.summary, repetitions=own),
        )

    def each(self, problem: Callable[[MeasuredRepetition], str | None]) -> list[str]:
        """What is wrong with each repetition, named where there are several."""
        found = ((r.measurement.repetition, problem(r)) for r in self.repetitions)
        many = len(self.repetitions) > 1
        return [f"repetition {number}: {what}" if many else what for number, what in found if what]

    def reason(
        self, code: str, severity: str, problem: Callable[[MeasuredRepetition], str | None], advice: str
    ) -> Iterator[Reason]:
        """One reason for all repetitions that have this problem; nothing when none has."""
        found = self.each(problem)
        if found:
            yield Reason(code, severity, "; ".join(found), advice)

    def graded(
        self, code: str, problem: Callable[[MeasuredRepetition], tuple[str, str] | None], advice: str
    ) -> Iterator[Reason]:
        """As `reason`, for a problem that comes as (severity, words): the worst severity of all repetitions counts."""
        found = [graded for r in self.repetitions if (graded := problem(r))]
        if found:
            severity = "INVALID" if any(severity == "INVALID" for severity, _ in found) else "SUSPECT"
            yield from self.reason(code, severity, lambda r: (problem(r) or ("", None))[1], advice)


def evidence_for(
    manifest: Manifest,
    tables: Mapping[RepetitionKey, pa.Table],
    point: Point,
    summary: PointSummary,
    percentiles: Sequence[tuple[str, str]],
    beside: Beside,
) -> Evidence:
    """The evidence about one point. `tables`: the rows of each repetition (`metrics.columns.by_repetition`)."""
    deployment = manifest.deployment(point.deployment_id)
    measured = [
        MeasuredRepetition(
            m,
            point,
            deployment,
            rows_of(tables.get((m.point_id, m.arm, m.repetition), REQUESTS.empty_table())),
            beside,
        )
        for m in measurements_of(manifest, point)
    ]
    return Evidence(point, measured, summary, percentiles, beside)
