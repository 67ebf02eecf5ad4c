"""Several worker processes behind Locust's master: the same as one process, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import planned_tasks
import psutil
import pytest
import truth_target
from planned_tasks import SECOND, check_nothing_lost_or_sent_twice, constant, finished, row, rows_of

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.errors import DriverFailed
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

QUICK = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.005)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocustDriver]:
    """A master with two workers, used for several tests as for several points of a run."""
    with LocustDriver(tmp_path_factory.mktemp("driver") / "driver.log", processes=2) as driver:
        yield driver


def _workers(driver: LocustDriver) -> list[psutil.Process]:
    return psutil.Process(driver.pid).children()


def test_a_closed_loop_of_two_workers_has_the_concurrency_that_was_asked(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        plan = [row(index) for index in range(3000)]
        task = planned_tasks.task(tmp_path / "run", server.port, plan, concurrency=7, warm_up_requests=14)
        events = truth_target.execute(driver, task)
        log = server.stop()
    end, rows = finished(events), rows_of(tmp_path / "run")
    assert [event.kind for event in events if event.kind != tasks.PROGRESS] == [
        tasks.READY,
        tasks.WINDOW_OPENS,
        tasks.WINDOW_CLOSED,
        tasks.FINISHED,
    ]
    assert end.ended == "window_over"
    check_nothing_lost_or_sent_twice(rows, log)
    assert len(rows) == end.taken == end.records_written
    assert end.taken + end.never_taken == 3000
    assert {one["index"] % 2 == one["worker"] for one in rows} == {True}, "number modulo workers"
    edges = sorted([(sent.arrival_ns, 1) for sent in log] + [(sent.ended_ns, -1) for sent in log])
    in_flight = np.cumsum([step for _, step in edges])
    assert max(in_flight) == 7
    start = min(end.start_ns + SECOND // 5, end.window_start_ns or 0)
    busy = [count for (instant, _), count in zip(edges, in_flight, strict=True) if start < instant < end.window_end_ns]
    assert np.median(busy) > 4, "more than one worker alone may have in flight"
    assert [worker.worker for worker in end.workers] == [0, 1]
    assert all(worker.cpu_s > 0 and worker.loop_lag_ns_p99 is not None for worker in end.workers)


def test_an_open_loop_of_two_workers_sends_every_arrival_once_and_on_one_clock(
    driver: LocustDriver, tmp_path: Path
) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(100, 8))
        end = finished(truth_target.execute(driver, task))
        log = server.stop()
    rows = rows_of(tmp_path / "run")
    check_nothing_lost_or_sent_twice(rows, log)
    assert len(rows) == end.taken
    assert all(one["intended_ns"] == end.start_ns + one["index"] * SECOND // 100 for one in rows)
    assert all(one["intended_ns"] <= one["sent_ns"] for one in rows)
    cohort = [one for one in rows if one["phase"] == "window"]
    assert [one["index"] for one in cohort] == list(range(50, 150))
    assert Counter(one["worker"] for one in cohort) == {0: 50, 1: 50}


def test_a_session_stays_with_one_worker(driver: LocustDriver, tmp_path: Path) -> None:
    rows = [
        row(number, None if turn else session * SECOND // 25, session_id=f"s{session}", turn=turn)
        for session in range(50)
        for turn in range(2)
        for number in [session * 2 + turn]
    ]
    with process.start(QUICK, tmp_path / "log") as server:
        task = planned_tasks.task(tmp_path / "run", server.port, rows)
        truth_target.execute(driver, task)
    records = rows_of(tmp_path / "run")
    assert len(records) > 60
    assert all(one["worker"] == int(one["session_id"][1:]) % 2 for one in records)


def test_the_cap_and_the_stop_rule_hold_for_all_workers_together(driver: LocustDriver, tmp_path: Path) -> None:
    hanging = Behaviour(time_to_first_token_s=20.0)
    with process.start(hanging, tmp_path / "log") as server:
        task = planned_tasks.task(
            tmp_path / "run", server.port, constant(100, 5), max_in_flight=5, stop_above_in_flight=40
        )
        end = finished(truth_target.execute(driver, task))
        log = server.stop()
    rows = rows_of(tmp_path / "run")
    assert end.ended == "stopped_saturated"
    assert len(log) == 5
    assert sum(one["outcome"] == "not_sent" for one in rows) == len(rows) - 5 == 145


def test_an_early_end_keeps_the_records_of_both_workers(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        plan = [row(index) for index in range(5000)]
        task = planned_tasks.task(tmp_path / "run", server.port, plan, concurrency=4, window_ns=60 * SECOND)
        end = finished(truth_target.execute(driver, task, stop_after_s=3.0))
    rows = rows_of(tmp_path / "run")
    assert end.ended == "interrupted"
    assert len(rows) == end.taken > 20
    assert {one["worker"] for one in rows} == {0, 1}


def test_a_port_where_nobody_listens_is_one_clear_failure(driver: LocustDriver, tmp_path: Path) -> None:
    task = planned_tasks.task(tmp_path / "run", 1, constant(10, 3))
    events = truth_target.execute(driver, task)
    assert [event.kind for event in events] == [tasks.FAILED]
    assert events[0].facts["target"] is True
    assert "refused" in events[0].facts["message"]


def test_the_end_of_the_sequence_ends_both_workers(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        plan = [row(index) for index in range(61)]
        task = planned_tasks.task(tmp_path / "run", server.port, plan, concurrency=4, warm_up_ns=0)
        end = finished(truth_target.execute(driver, task))
    assert end.ended == "max_requests"
    assert len(rows_of(tmp_path / "run")) == end.taken
    assert end.taken + end.never_taken == 61


def test_a_killed_worker_ends_the_repetition_and_all_other_records_are_kept(tmp_path: Path) -> None:
    with process.start(QUICK, tmp_path / "log") as server, LocustDriver(tmp_path / "driver.log", 2) as driver:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(100, 60), window_ns=50 * SECOND)
        events, killed = [], False
        for event in driver.measure(task, lambda: None):
            events.append(event)
            if event.kind == tasks.WINDOW_OPENS:
                time.sleep(6.0)  # the doomed worker has written once
                killed = True
                next(one for one in _workers(driver) if one.cmdline()[-2] == "0").kill()
        assert killed
        workers = _workers(driver)
    end, rows = finished(events), rows_of(tmp_path / "run")
    assert end.ended == "driver_failed"
    assert "ended unexpectedly (signal 9)" in str(end.message)
    unsent = [one for one in rows if one["outcome"] == "not_sent"]
    assert len({one["index"] for one in rows}) == len(rows)
    assert {one["worker"] for one in unsent} == {0}
    due = {one["index"] for one in rows if one["worker"] == 0}
    assert due == set(range(0, max(due) + 1, 2)), "every arrival that was due is a row, known to be sent or not"
    kept = Counter(one["worker"] for one in rows if one["outcome"] != "not_sent")
    assert kept[0] > 0, "what the killed worker had written is kept"
    assert kept[1] > 0
    assert [worker.worker for worker in end.workers] == [1]
    assert not [worker for worker in workers if worker.is_running()], "no process is left"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_the_driver(tmp_path: Path, number: int) -> None:
    with process.start(QUICK, tmp_path / "log") as server, LocustDriver(tmp_path / "driver.log", 2) as driver:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(20, 60), window_ns=50 * SECOND)
        events = driver.measure(task, lambda: None)
        while next(events).kind != tasks.WINDOW_OPENS:
            pass
        time.sleep(1.0)
        workers = _workers(driver)
        os.kill(driver.pid, number)
        with pytest.raises(DriverFailed, match="ended unexpectedly"):
            list(events)
        assert len(workers) == 2
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive
    assert {one["worker"] for one in rows_of(tmp_path / "run")} == {0, 1}, "workers write what they have before they go"
