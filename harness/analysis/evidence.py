"""What validity is judged from: one point's rows, measurements and summary, and nothing outside the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from harness.metrics.columns import Flags, RepetitionKey, Rows, rows_of
from harness.metrics.results import PointSummary, Reason
from harness.metrics.summary import measurements_of
from harness.metrics.window import origins, window_of
from harness.records.manifest import Manifest, Measurement, Point
from harness.records.schemas import REQUESTS


@dataclass(frozen=True)
class MeasuredRepetition:
    """One repetition as it was measured."""

    measurement: Measurement
    point: Point
    rows: Rows

    @property
    def cohort(self) -> Flags:
        """Requests of the window; none when it never opened."""
        window = window_of(self.measurement)
        return np.zeros(len(self.rows), dtype=bool) if window is None else window.holds(origins(self.point, self.rows))


@dataclass(frozen=True)
class Evidence:
    """Everything about one point."""

    point: Point
    repetitions: Sequence[MeasuredRepetition]
    summary: PointSummary
    percentiles: Sequence[tuple[str, str]]  # (metric, statistic) that somebody will look at

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


def evidence_for(
    manifest: Manifest,
    tables: Mapping[RepetitionKey, pa.Table],
    point: Point,
    summary: PointSummary,
    percentiles: Sequence[tuple[str, str]],
) -> Evidence:
    """The evidence about one point. `tables`: the rows of each repetition (`metrics.columns.by_repetition`)."""
    measured = [
        MeasuredRepetition(m, point, rows_of(tables.get((m.point_id, m.arm, m.repetition), REQUESTS.empty_table())))
        for m in measurements_of(manifest, point)
    ]
    return Evidence(point, measured, summary, percentiles)
