"""The Locust driver, as a real process, against a truth server that logs what it really sent."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import certificates
import numpy as np
import pyarrow.parquet as pq
import pytest
import truth_target

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.task import Address, Finished, TlsFiles
from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.03, inter_token_s=0.005)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocustDriver]:
    """One driver process for all tests, as for all points of a run: each test also shows that it can be used again."""
    with LocustDriver(tmp_path_factory.mktemp("driver") / "driver.log") as driver:
        yield driver


def _rows(folder: Path) -> list[dict[str, object]]:
    RunFolder(folder).merge_requests([])
    rows: list[dict[str, object]] = pq.read_table(folder / "requests.parquet").to_pylist()
    assert rows, "an empty run proves nothing"
    return rows


def _finished(events: list[tasks.Event]) -> Finished:
    assert events[-1].kind == tasks.FINISHED, events[-1]
    return Finished.from_facts(events[-1].facts)


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm"])
def test_records_agree_with_what_the_server_logged(driver: LocustDriver, tmp_path: Path, model: str) -> None:
    inputs = truth_target.TEXT_INPUTS if model == "ensemble" else truth_target.ID_INPUTS
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(
            tmp_path / "run", server.port, truth_target.scenario(8, 20), model=model, inputs=inputs
        )
        events = truth_target.execute(driver, task)
        log = {sent.request_id: sent for sent in server.stop()}
    finished, rows = _finished(events), _rows(tmp_path / "run")
    assert [event.kind for event in events if event.kind != tasks.PROGRESS] == [
        tasks.READY,
        tasks.WINDOW_OPENS,
        tasks.WINDOW_CLOSED,
        tasks.FINISHED,
    ]
    assert finished.ended == "window_over"
    assert len(rows) == finished.taken == finished.records_written
    assert 0 <= len(rows) - len(log) < 3  # one that was cut as soon as it was sent may be missing there
    complete = [row for row in rows if row["outcome"] == "ok"]
    assert len(complete) >= len(rows) - 8  # at most the ones in flight when the load ended
    errors = []
    for row in complete:
        sent = log[row["request_id"]]
        assert row["chunk_tokens"] == list(sent.chunk_tokens)
        counted = row["output_tokens_server"] if model == "ensemble" else row["output_tokens_client"]
        assert counted == row["output_tokens_asked"] == 20
        if model == "ensemble":
            assert row["input_tokens_server"] == sent.input_tokens
        # On one clock a client cannot see a chunk before it was sent, nor the server a request before it was sent.
        assert row["sent_ns"] < sent.request_complete_ns
        stamps = np.asarray(row["chunk_offsets_ns"]) + row["sent_ns"]
        assert (stamps >= np.asarray(sent.chunk_sent_ns)).all()
        errors.append(np.median(stamps - np.asarray(sent.chunk_sent_ns)))
    assert np.median(errors) < 0.5 * 5e6, "half of all chunks are stamped within half a gap of their sending"


def test_phases_follow_from_the_instants_of_sending(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 10))
        finished = _finished(truth_target.execute(driver, task))
    start, end = finished.window_start_ns, finished.window_end_ns
    assert start is not None
    assert end == start + task.window_ns
    for row in _rows(tmp_path / "run"):
        expected = "warm_up" if row["sent_ns"] < start else "window" if row["sent_ns"] < end else "drain"
        assert row["phase"] == expected


def test_a_window_of_n_requests_holds_exactly_n(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(
            tmp_path / "run", server.port, truth_target.scenario(4, 5), window_ns=None, window_requests=37
        )
        finished = _finished(truth_target.execute(driver, task))
    rows = _rows(tmp_path / "run")
    cohort = [row for row in rows if row["phase"] == "window"]
    assert len(cohort) == 37
    assert finished.window_end_ns == max(row["sent_ns"] for row in cohort) + 1
    assert {row["outcome"] for row in cohort} == {"ok"}


def test_concurrency_is_what_was_asked(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(6, 20))
        truth_target.execute(driver, task)
        log = server.stop()
    edges = sorted([(sent.arrival_ns, 1) for sent in log] + [(sent.ended_ns, -1) for sent in log])
    assert max(np.cumsum([step for _, step in edges])) == 6


def test_the_last_number_of_the_sequence_ends_the_repetition(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 5, max_requests=60))
        finished = _finished(truth_target.execute(driver, task))
    assert (finished.ended, finished.taken, finished.never_taken) == ("max_requests", 60, 0)
    assert len(_rows(tmp_path / "run")) == 60


@pytest.mark.parametrize(
    ("behaviour", "outcome", "text"),
    [
        (Behaviour(error_after_tokens=3), "server_error", "the truth server was told to fail"),
        (Behaviour(cut_after_tokens=3, cut_style="reset"), "bad_stream", "reset by the peer"),
        (Behaviour(cut_after_tokens=3, cut_style="no_trailers"), "bad_stream", "without trailers"),
        (Behaviour(final_flag="missing"), "bad_stream", "without a final response"),
        (Behaviour(reject_share=1.0), "rejected", ""),
    ],
)
def test_failures_are_told_apart(
    driver: LocustDriver, tmp_path: Path, behaviour: Behaviour, outcome: str, text: str
) -> None:
    with process.start(behaviour, tmp_path / "log") as server:
        task = truth_target.task(
            tmp_path / "run", server.port, truth_target.scenario(2, 10, max_requests=8), warm_up_ns=0
        )
        truth_target.execute(driver, task)
    rows = [row for row in _rows(tmp_path / "run") if row["outcome"] != "cancelled"]
    assert {row["outcome"] for row in rows} == {outcome}
    assert all(text in str(row["error"]) for row in rows)


def test_a_request_over_its_timeout_is_cancelled_and_keeps_what_came(driver: LocustDriver, tmp_path: Path) -> None:
    slow = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.1)
    with process.start(slow, tmp_path / "log") as server:
        task = truth_target.task(
            tmp_path / "run", server.port, truth_target.scenario(2, 50, max_requests=4, timeout_s=0.5), warm_up_ns=0
        )
        truth_target.execute(driver, task)
        log = server.stop()
    rows = _rows(tmp_path / "run")
    assert {row["outcome"] for row in rows} == {"timeout"}
    assert all(2 <= len(row["chunk_tokens"]) <= 6 for row in rows)
    assert {str(sent.outcome) for sent in log} == {"cancelled"}


def test_stopping_early_keeps_what_was_measured(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 10), window_ns=60_000_000_000)
        finished = _finished(truth_target.execute(driver, task, stop_after_s=3.0))
    assert finished.ended == "interrupted"
    rows = _rows(tmp_path / "run")
    assert len(rows) == finished.taken > 20
    assert {row["outcome"] for row in rows} <= {"ok", "cancelled"}


def test_a_server_that_dies_is_noticed_and_the_records_are_kept(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 10), window_ns=60_000_000_000)
        events = []
        for event in driver.measure(task, lambda: None):
            events.append(event)
            if event.kind == tasks.WINDOW_OPENS:
                server.kill()
    finished = _finished(events)
    assert finished.ended == "target_lost"
    rows = _rows(tmp_path / "run")
    assert {"ok", "connect_error"} <= {row["outcome"] for row in rows}
    assert len(rows) == finished.taken < 400, "users back off instead of hammering a dead server"


def test_a_port_where_nobody_listens_is_one_clear_failure(driver: LocustDriver, tmp_path: Path) -> None:
    task = truth_target.task(tmp_path / "run", 1, truth_target.scenario(2, 5))
    events = truth_target.execute(driver, task)
    assert [event.kind for event in events] == [tasks.FAILED]
    assert events[0].facts["target"] is True
    assert "refused" in events[0].facts["message"]


def test_a_disk_that_is_full_ends_the_repetition_and_is_reported(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(4, 10))
        part = RunFolder(tmp_path / "run").part_path("requests", "p0", "r0", "a1", "w0")
        part.symlink_to("/dev/full")
        events = truth_target.execute(driver, task)
    finished = _finished(events)
    assert finished.ended == "driver_failed"
    assert (finished.records_written, finished.records_failed) == (0, finished.taken)
    assert "No space left" in str(finished.message)


def test_a_disk_that_fills_up_later_ends_the_repetition_and_the_lost_rows_are_counted(
    driver: LocustDriver, tmp_path: Path
) -> None:
    before = resource.prlimit(driver.pid, resource.RLIMIT_FSIZE)
    with process.start(PACED, tmp_path / "log") as server:
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(8, 10))
        resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, (20_000, before[1]))  # the kernel refuses longer files
        try:
            finished = _finished(truth_target.execute(driver, task))
        finally:
            resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, before)
    assert finished.ended == "driver_failed"
    assert finished.records_failed > 0
    assert finished.records_written + finished.records_failed == finished.taken
    assert "cannot write records" in str(finished.message)


@pytest.mark.skipif(certificates.MISSING, reason=certificates.WHY_SKIPPED)
def test_tls_carries_the_same_streams(driver: LocustDriver, tmp_path: Path) -> None:
    certificate, key = certificates.self_signed(tmp_path)
    with process.start(PACED, tmp_path / "log", tls_certificate=certificate, tls_key=key) as server:
        address = Address("127.0.0.1", server.port, TlsFiles(ca_file=str(certificate)), {"authorization": "Bearer x"})
        task = truth_target.task(
            tmp_path / "run", server.port, truth_target.scenario(4, 10, max_requests=40), address=address
        )
        truth_target.execute(driver, task)
    rows = _rows(tmp_path / "run")
    assert len(rows) == 40
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {row["output_tokens_server"] for row in rows} == {10}


@pytest.mark.skipif(certificates.MISSING, reason=certificates.WHY_SKIPPED)
def test_a_certificate_that_is_not_trusted_is_one_clear_failure(driver: LocustDriver, tmp_path: Path) -> None:
    certificate, key = certificates.self_signed(tmp_path)
    other, _ = certificates.self_signed(tmp_path, "other")
    with process.start(PACED, tmp_path / "log", tls_certificate=certificate, tls_key=key) as server:
        address = Address("127.0.0.1", server.port, TlsFiles(ca_file=str(other)))
        task = truth_target.task(tmp_path / "run", server.port, truth_target.scenario(2, 5), address=address)
        events = truth_target.execute(driver, task)
    assert [event.kind for event in events] == [tasks.FAILED]
    assert "certificate" in events[0].facts["message"].lower()
