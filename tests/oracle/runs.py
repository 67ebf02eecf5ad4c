"""Small runs for tests: rows as dictionaries, turned into the tables and the manifest that the right half reads.

Instants are written in milliseconds after T0, for people; `MS` turns them into the run's nanoseconds.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from harness.clock import Anchor
from harness.metrics.catalog import METRICS_VERSION
from harness.records.manifest import MANIFEST_VERSION, Deployment, Manifest, Measurement, Point, WorkerReport
from harness.records.schemas import REQUESTS, request_id

MS = 1_000_000
T0 = 9_007_199_254_740_993  # 2^53 + 1: a float would lose nanoseconds here

Row = dict[str, Any]

SCENARIO_TEXT = """\
version: 1
name: small
target: {engine: cpu-tiny, on: embedded}
workload: {input_tokens: 8, output_tokens: 4}
load: {kind: closed_loop, concurrency: 2}
"""


def at(ms: float | None) -> int | None:
    """An instant of the run, from milliseconds after T0."""
    return None if ms is None else T0 + round(ms * MS)


def row(index: int, **changes: Any) -> Row:
    """A healthy request: sent at 300 ms, four tokens at 350, 360, 370, 380 ms, done at 381 ms, all counts agree."""
    healthy: Row = {
        "point_id": "p",
        "repetition": 1,
        "arm": None,
        "index": index,
        "phase": "window",
        "workload_part": "all",
        "tenant": "all",
        "session_id": None,
        "turn": None,
        "intended_ns": None,
        "sent_ns": at(300),
        "first_token_ns": at(350),
        "last_token_ns": at(380),
        "done_ns": at(381),
        "outcome": "ok",
        "error": None,
        "input_tokens_asked": 8,
        "input_tokens_client": 8,
        "input_tokens_server": 8,
        "output_tokens_asked": 4,
        "output_tokens_client": 4,
        "output_tokens_server": 4,
        "chunk_offsets_ns": [50 * MS, 60 * MS, 70 * MS, 80 * MS],
        "chunk_tokens": [1, 1, 1, 1],
        "worker": 0,
        "connection_reused": True,
    }
    made = {**healthy, **changes}
    made.setdefault("request_id", request_id(made["point_id"], made["arm"], made["repetition"], index))
    return made


def failed_row(index: int, outcome: str = "timeout", done_ms: float = 400, **changes: Any) -> Row:
    """A request that failed before its first token."""
    nothing = dict.fromkeys(("first_token_ns", "last_token_ns", "output_tokens_server", "output_tokens_client"))
    empty = {"chunk_offsets_ns": [], "chunk_tokens": [], "done_ns": at(done_ms), "outcome": outcome}
    return row(index, **{**nothing, **empty, **changes})


def table(rows: list[Row]) -> pa.Table:
    """Rows as the requests table, sorted as the store sorts it."""
    made = pa.Table.from_pylist(rows, schema=REQUESTS) if rows else REQUESTS.empty_table()
    return made.sort_by([(name, "ascending") for name in ("point_id", "repetition", "arm", "index")])


def measurement(records: int, **changes: Any) -> Measurement:
    """A complete repetition: warm-up from 0, window [200 ms, 900 ms), drained at 1200 ms."""
    facts: dict[str, Any] = {
        "point_id": "p",
        "repetition": 1,
        "arm": None,
        "attempt": 1,
        "complete": True,
        "ended": "window_over",
        "start_ns": at(0),
        "window_start_ns": at(200),
        "window_end_ns": at(900),
        "drain_end_ns": at(1200),
        "taken": records,
        "never_taken": 0,
        "records_expected": records,
        "workers": [WorkerReport(0, 0.1, 1.0, records, 0, 1000)],
    }
    return Measurement(**{**facts, **changes})


def manifest(
    measurements: list[Measurement], *, open_loop: bool = False, scenario_text: str = SCENARIO_TEXT, **changes: Any
) -> Manifest:
    """A run with one point, `p`. `changes`: fields of its deployment, or `repetitions`."""
    repetitions = changes.pop("repetitions", len(measurements))
    deployment = {
        "deployment_id": "d",
        "kind": "embedded",
        "model": "ensemble",
        "url": "127.0.0.1:1",
        "protocol": "triton_grpc",
    }
    point = Point(
        point_id="p",
        deployment_id="d",
        workload="all",
        load_kind="open_loop" if open_loop else "closed_loop",
        concurrency=None if open_loop else 2,
        request_rate_per_s=10.0 if open_loop else None,
        repetitions=repetitions,
        max_requests=None,
        input_tokens_mean=8.0,
        output_tokens_mean=4.0,
    )
    return Manifest(
        manifest_version=MANIFEST_VERSION,
        run_id="r",
        campaign="run",
        harness_version="0",
        metrics_version=METRICS_VERSION,
        command_line=["harness", "run"],
        scenario_name="small",
        scenario_text=scenario_text,
        scenario_hash="0",
        scenario_file="small.yaml",
        seed=1,
        salt="s",
        attempt=1,
        clock=Anchor(T0, 0),
        host={},
        deployments=[Deployment(**{**deployment, **changes})],
        points=[point],
        measurements=measurements,
    )


_COUNTS = st.one_of(st.none(), st.integers(0, 9))


@st.composite
def rows_of_any_kind(draw: st.DrawFn, *, open_loop: bool, repetition: int = 1, size: int = 40) -> list[Row]:
    """Rows on and around the edges of the window, of every outcome, with odd chunks and missing counts."""
    single = draw(st.booleans())
    return [
        draw(_any_row(index, open_loop=open_loop, repetition=repetition, single=single))
        for index in range(draw(st.integers(0, size)))
    ]


@st.composite
def _any_row(draw: st.DrawFn, index: int, *, open_loop: bool, repetition: int, single: bool) -> Row:
    outcome = draw(st.sampled_from(["ok", "ok", "ok", "ok", "timeout", "bad_stream", "cancelled", "not_sent"]))
    intended = draw(st.sampled_from([0, 199, 200, 201, 500, 899, 900, 1100]) | st.integers(0, 1199))
    if outcome == "not_sent" and open_loop:
        return failed_row(
            index, "not_sent", repetition=repetition, intended_ns=at(intended), sent_ns=None, done_ns=None
        )
    sent = at(intended + (draw(st.integers(0, 50)) if open_loop else 0))
    steps = draw(st.lists(st.integers(0, 60), max_size=6))
    offsets = [sum(steps[: i + 1]) * MS for i in range(len(steps))]
    counts = [1 if single else draw(st.integers(0, 3)) for _ in offsets]
    if outcome == "ok" and counts and draw(st.booleans()):
        counts[0] = 0
    tokened = [sent + offset for offset, count in zip(offsets, counts, strict=True) if count > 0]
    last = sent + (offsets[-1] if offsets else 0)
    done = None if outcome == "timeout" and draw(st.booleans()) else last + draw(st.integers(0, 40)) * MS
    server = sum(counts) if single and draw(st.booleans()) else draw(_COUNTS)
    return row(
        index,
        repetition=repetition,
        intended_ns=at(intended) if open_loop else None,
        sent_ns=sent,
        first_token_ns=tokened[0] if tokened else None,
        last_token_ns=tokened[-1] if tokened else None,
        done_ns=done,
        outcome="server_error" if outcome == "not_sent" else outcome,
        input_tokens_client=draw(_COUNTS),
        input_tokens_server=draw(_COUNTS),
        output_tokens_asked=draw(st.integers(1, 6)),
        output_tokens_client=draw(_COUNTS),
        output_tokens_server=server,
        chunk_offsets_ns=offsets,
        chunk_tokens=counts,
    )
