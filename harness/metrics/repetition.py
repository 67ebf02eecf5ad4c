"""One repetition of one point, ready for the formulas: its rows, its window, its cohort, its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from harness.metrics.bounds import Bound
from harness.metrics.chunks import ChunkColumns, chunk_columns, gaps, tokens_between
from harness.metrics.columns import MISSING, Flags, Floats, Ints, Rows, known, rows_of
from harness.metrics.percentile import Sample
from harness.metrics.tokens import TokenCounts, input_counts, output_counts, tokens_per_counted
from harness.metrics.window import Window, origins
from harness.records.manifest import Deployment, Point


@dataclass(frozen=True)
class Repetition:
    """What the formulas of the catalog take. Derived columns are computed once, when first asked for."""

    point: Point
    deployment: Deployment
    window: Window
    rows: Rows
    bounds: Sequence[Bound]

    @property
    def open_loop(self) -> bool:
        """Whether requests had intended instants."""
        return self.point.load_kind == "open_loop"

    @cached_property
    def origin_ns(self) -> Ints:
        """The instant from which each request's latency counts."""
        return origins(self.point, self.rows)

    @cached_property
    def cohort(self) -> Flags:
        """The requests intended (closed loop: sent) in the window."""
        return self.window.holds(self.origin_ns)

    @cached_property
    def ended_ns(self) -> Ints:
        """The last instant at which each request was observed: done, else the end of the drain."""
        return np.where(known(self.rows.done_ns), self.rows.done_ns, self.window.until_ns)

    @cached_property
    def chunks(self) -> ChunkColumns:
        """What each request's chunks add up to."""
        return chunk_columns(self.rows.table)

    @property
    def streamed(self) -> bool:
        """Whether answers were asked for as streams; an answer that comes whole has counted tokens and no chunk."""
        return self.point.streamed

    @cached_property
    def output(self) -> TokenCounts:
        """Output tokens of each request."""
        return output_counts(self.rows, self.chunks)

    @cached_property
    def input(self) -> TokenCounts:
        """Input tokens of each request."""
        return input_counts(self.rows)

    @cached_property
    def chunk_gaps(self) -> Sample:
        """The cohort's gaps between chunks; a failed request's last chunk begins a gap that never ended."""
        hung = self.cohort & self.rows.failed & (self.chunks.chunks > 0)
        last_ns = self.rows.sent_ns[hung] + self.chunks.last_offset_ns[hung]
        return Sample(
            gaps(self.rows.table, self.cohort, self.chunks.chunks), np.maximum(self.ended_ns[hung] - last_ns, 0)
        )

    @cached_property
    def window_output_tokens(self) -> float:
        """Output tokens whose chunk arrived in the window."""
        edges = np.asarray([self.window.start_ns, self.window.end_ns])
        return float(self.output_tokens_between(edges)[0])

    @property
    def _answered_ns(self) -> Ints:
        """When the whole answer of each request that ended well arrived, else MISSING."""
        return np.where(self.rows.ok, self.rows.done_ns, MISSING)

    @property
    def first_arrival_ns(self) -> Ints:
        """The first token; where answers are not streamed, the answer."""
        return self.rows.first_token_ns if self.streamed else self._answered_ns

    def output_tokens_between(self, edges_ns: Ints) -> Floats:
        """Output tokens whose chunk arrived in each interval between the edges, whoever sent the request."""
        if not self.streamed:
            return np.asarray(np.histogram(self._answered_ns, edges_ns, weights=self.output.tokens)[0], np.float64)
        weight = tokens_per_counted(self.output, self.chunks)
        return tokens_between(self.rows.table, self.rows.sent_ns, weight, edges_ns)


def repetition_of(
    point: Point, deployment: Deployment, window: Window, table: pa.Table, bounds: Sequence[Bound] = ()
) -> Repetition:
    """A repetition from its rows (schema REQUESTS)."""
    return Repetition(point, deployment, window, rows_of(table), bounds)
