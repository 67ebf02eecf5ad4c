"""The run folder on disk: what is written is read back, whatever was torn, replaced or cut off."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.clock import Anchor
from harness.errors import RunFolderError
from harness.records import manifest as manifests
from harness.records.manifest import Deployment, Manifest, Measurement, Point, WorkerReport
from harness.records.schemas import PLAN, REQUESTS, TELEMETRY, request_id
from harness.records.store import PartWriter, RunFolder, requests_part_labels


def _row(index: int, *, point: str = "p-c1", repetition: int = 0, outcome: str = "ok") -> dict[str, object]:
    return {
        "point_id": point,
        "repetition": repetition,
        "arm": None,
        "index": index,
        "request_id": request_id(point, None, repetition, index),
        "phase": "window",
        "workload_part": "all",
        "tenant": "default",
        "sent_ns": 100 + index,
        "outcome": outcome,
        "input_tokens_asked": 8,
        "output_tokens_asked": 3,
        "chunk_offsets_ns": [5, 6, 7],
        "chunk_tokens": [1, 1, 1],
        "worker": 0,
        "connection_reused": True,
    }


def _table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=REQUESTS)


def _write_part(folder: RunFolder, table: pa.Table, *, repetition: int = 0, attempt: int = 1, worker: int = 0) -> Path:
    path = folder.part_path("requests", *requests_part_labels(0, repetition, attempt, worker))
    with PartWriter(path, REQUESTS) as writer:
        for start in range(0, table.num_rows, 2):
            writer.write(table.slice(start, 2))
    return path


def _measurement(attempt: int, repetition: int = 0) -> Measurement:
    return Measurement("p-c1", repetition, None, attempt, True, "window_over", 0, 1, 2, 3, 4, 0, 4)


def _manifest(**changes: object) -> Manifest:
    plain = Manifest(
        manifest_version=manifests.MANIFEST_VERSION,
        run_id="run",
        campaign="run",
        harness_version="0",
        metrics_version=1,
        command_line=["harness", "run", "x"],
        scenario_name="x",
        scenario_text="version: 1\n",
        scenario_hash="abc",
        scenario_file="x.yaml",
        seed=1,
        salt="salt",
        attempt=1,
        clock=Anchor(5, 6),
        host={"cpu_count": 2},
        deployments=[Deployment("d", "attach", "ensemble", "127.0.0.1:1", "triton_grpc")],
        points=[Point("p-c1", "d", "all", "closed_loop", 1, None, 1, 10, 8.0, 3.0)],
        measurements=[dataclasses.replace(_measurement(1), workers=[WorkerReport(0, 0.1, 1.0, 4, 0, 9)])],
    )
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run")
    made.write_manifest(_manifest())
    return made


def test_a_manifest_survives_being_written_and_read(folder: RunFolder) -> None:
    assert folder.manifest() == _manifest()


def test_a_manifest_of_another_version_or_shape_is_refused(folder: RunFolder) -> None:
    folder.write_manifest(_manifest(manifest_version=99))
    with pytest.raises(RunFolderError, match="has version 99"):
        folder.manifest()
    folder.write_text("manifest.json", manifests.to_json(_manifest()).replace('"salt"', '"sugar"'))
    with pytest.raises(RunFolderError, match="does not fit its schema"):
        folder.manifest()
    folder.write_text("manifest.json", "{")
    with pytest.raises(RunFolderError, match="is damaged"):
        folder.manifest()


def test_a_second_measurement_of_a_repetition_replaces_the_first() -> None:
    again = _manifest().with_measurement(_measurement(2)).with_measurement(_measurement(1, repetition=1))
    assert [(m.repetition, m.attempt) for m in again.measurements] == [(0, 2), (1, 1)]


def test_rows_of_all_workers_come_back_sorted_and_parts_are_gone(folder: RunFolder) -> None:
    _write_part(folder, _table(_row(3), _row(1)), worker=0)
    _write_part(folder, _table(_row(0), _row(2)), worker=1)
    table = folder.requests()
    assert table.schema.equals(REQUESTS)
    assert table["index"].to_pylist() == [0, 1, 2, 3]
    assert table["chunk_offsets_ns"].to_pylist()[0] == [5, 6, 7]
    assert list((folder.path / "parts").iterdir()) == []
    assert folder.requests().equals(table), "a second look changes nothing"


def test_a_torn_part_keeps_its_whole_batches(folder: RunFolder) -> None:
    path = _write_part(folder, _table(*(_row(i) for i in range(6))))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 400])
    assert folder.requests()["index"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("measured", [[], [_measurement(2)]])
def test_rows_of_an_attempt_that_was_repeated_are_dropped(folder: RunFolder, measured: list[Measurement]) -> None:
    _write_part(folder, _table(_row(0, outcome="timeout"), _row(1, outcome="timeout")), attempt=1)
    _write_part(folder, _table(_row(0)), attempt=2)
    folder.merge_requests(measured)
    assert folder.requests()["outcome"].to_pylist() == ["ok"]


def test_a_resumed_run_replaces_only_the_repetition_it_measured_again(folder: RunFolder) -> None:
    _write_part(folder, _table(_row(0, outcome="cancelled")), repetition=0)
    _write_part(folder, _table(_row(0, repetition=1)), repetition=1)
    folder.merge_requests([])
    _write_part(folder, _table(_row(0), _row(1)), repetition=0, attempt=2)
    table = folder.requests()
    assert [(r["repetition"], r["index"], r["outcome"]) for r in table.to_pylist()] == [
        (0, 0, "ok"),
        (0, 1, "ok"),
        (1, 0, "ok"),
    ]


def test_a_damaged_or_incomplete_parquet_file_is_named(folder: RunFolder) -> None:
    _write_part(folder, _table(_row(0)))
    folder.requests()
    path = folder.path / "requests.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["sent_ns"]), path)
    assert folder.requests()["sent_ns"].to_pylist() == [None], "a column that may be null is one that was added since"
    pq.write_table(pq.read_table(path).drop_columns(["outcome"]), path)
    with pytest.raises(RunFolderError, match="lacks the column 'outcome'"):
        folder.requests()
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(RunFolderError, match=r"requests\.parquet is damaged"):
        folder.requests()


def test_a_file_that_cannot_be_written_is_named_and_leaves_no_draft(folder: RunFolder) -> None:
    (folder.path / "report.html").mkdir()
    with pytest.raises(RunFolderError, match=r"cannot write .*report\.html"):
        folder.write_text("report.html", "x")
    assert not list(folder.path.glob(".*.tmp"))


def test_telemetry_parts_are_sorted_by_time(folder: RunFolder) -> None:
    for attempt, times in ((1, [3, 1]), (2, [2])):
        rows = [
            {"time_ns": t, "source": "host", "entity": "host", "metric": "m", "value": 1.0, "unit": "s"} for t in times
        ]
        with PartWriter(folder.part_path("telemetry", f"a{attempt}"), TELEMETRY) as writer:
            writer.write(pa.Table.from_pylist(rows, schema=TELEMETRY))
    assert folder.telemetry()["time_ns"].to_pylist() == [1, 2, 3]
    assert folder.server_statistics().num_rows == 0


def test_a_plan_is_stored_with_its_schema(folder: RunFolder) -> None:
    folder.write_plan(PLAN.empty_table())
    assert folder.plan().schema.equals(PLAN)


def test_folders_that_are_no_runs_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such run folder"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match=r"no manifest\.json"):
        RunFolder.open(tmp_path)
    RunFolder.create(tmp_path / "run")
    with pytest.raises(RunFolderError, match="exists already"):
        RunFolder.create(tmp_path / "run")
