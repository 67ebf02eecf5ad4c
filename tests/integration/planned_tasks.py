"""Tasks whose plan a test writes itself, row by row, and how to read what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import truth_target

from harness.drivers import task as tasks
from harness.drivers.task import Address, Finished, MeasurementTask
from harness.records.schemas import PLAN
from harness.records.store import RunFolder
from harness.truth.sent_log import SentRequest

SECOND = 1_000_000_000
POINT = "point-1"


def row(index: int, offset_ns: int | None = None, **changes: Any) -> dict[str, Any]:
    """One row of a plan (schema PLAN): 12 tokens in, 5 out."""
    planned: dict[str, Any] = dict.fromkeys(PLAN.names)
    planned |= {"point_id": POINT, "repetition": 0, "index": index, "workload_part": "default", "tenant": "default"}
    planned |= {"input_tokens": 12, "output_tokens": 5, "prompt_seed": index, "timeout_ns": 30 * SECOND}
    return planned | {"intended_offset_ns": offset_ns, "traced": False} | changes


def constant(rate: float, seconds: float, **changes: Any) -> Iterator[dict[str, Any]]:
    """Evenly spaced arrivals."""
    for index in range(int(rate * seconds)):
        yield row(index, int(index / rate * SECOND), **changes)


def task(folder: Path, port: int, rows: Iterable[dict[str, Any]], **changes: Any) -> MeasurementTask:
    """Write these rows as the plan of a new run folder; the task is an open loop unless a concurrency is given."""
    RunFolder.create(folder).write_plan(pa.Table.from_pylist(list(rows), schema=PLAN))
    settings: dict[str, Any] = {
        "run_folder": str(folder),
        "point_id": POINT,
        "ordinal": 0,
        "arm": None,
        "repetition": 0,
        "attempt": 1,
        "salt": "salt",
        "prompt_seed": 1,
        "address": Address("127.0.0.1", port),
        "model": "ensemble",
        "inputs": truth_target.TEXT_INPUTS,
        "outputs": {},
        "batched": True,
        "tokenizer": None,
        "concurrency": None,
        "warm_up_ns": SECOND // 2,
        "warm_up_requests": 0,
        "window_ns": SECOND,
        "window_requests": None,
        "drain_limit_ns": 5 * SECOND,
    }
    return MeasurementTask(**(settings | changes))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The records, merged from all workers' parts; never empty."""
    RunFolder(folder).merge_requests([])
    rows: list[dict[str, Any]] = pq.read_table(folder / "requests.parquet").to_pylist()
    assert rows, "an empty run proves nothing"
    return rows


def finished(events: list[tasks.Event]) -> Finished:
    """How the repetition ended."""
    assert events[-1].kind == tasks.FINISHED, events[-1]
    return Finished.from_facts(events[-1].facts)


def check_nothing_lost_or_sent_twice(rows: list[dict[str, Any]], log: list[SentRequest]) -> None:
    """Every row is in the server's log once; a request that was cut as soon as it was sent may be missing there."""
    seen = Counter(sent.request_id for sent in log)
    assert max(seen.values()) == 1, "nothing is sent twice"
    written = {one["request_id"]: one for one in rows}
    assert len(written) == len(rows)
    assert seen.keys() <= written.keys(), "nothing is lost"
    unseen = [written[name] for name in written.keys() - seen.keys()]
    assert all(one["outcome"] == "cancelled" and one["error"].startswith("cut off") for one in unseen)
    assert len(unseen) < 3
