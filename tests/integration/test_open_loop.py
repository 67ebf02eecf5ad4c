"""Open loops, sessions and planned cancellation with the real driver, against what the truth server logged."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import planned_tasks
import pytest
import truth_target
from planned_tasks import SECOND, check_nothing_lost_or_sent_twice, constant, finished, row, rows_of

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import Outcome

pytestmark = pytest.mark.integration

QUICK = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.005)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocustDriver]:
    """One driver process for all tests, as for all points of a run."""
    with LocustDriver(tmp_path_factory.mktemp("driver") / "driver.log") as driver:
        yield driver


def test_every_arrival_is_sent_at_its_instant_and_the_window_is_the_planned_one(
    driver: LocustDriver, tmp_path: Path
) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(100, 8))
        events = truth_target.execute(driver, task)
        sent_log = server.stop()
    log = {sent.request_id: sent for sent in sent_log}
    end, rows = finished(events), rows_of(tmp_path / "run")
    assert end.ended == "window_over"
    assert end.window_start_ns == end.start_ns + task.warm_up_ns
    assert end.window_end_ns == end.window_start_ns + SECOND
    assert len(rows) == end.taken
    check_nothing_lost_or_sent_twice(rows, sent_log)
    assert end.taken + end.never_taken == 800
    assert {one["outcome"] for one in rows} <= {"ok", "cancelled"}
    cohort = [one for one in rows if one["phase"] == "window"]
    assert len(cohort) == 100
    for one in rows:
        assert one["intended_ns"] == end.start_ns + int(one["index"] * SECOND / 100)
        assert one["sent_ns"] >= one["intended_ns"], "nothing is sent early"
        if one["request_id"] in log:
            assert one["sent_ns"] < log[one["request_id"]].arrival_ns
    assert [one["index"] for one in rows] == list(range(len(rows))), "the drain goes on with the plan, without gaps"
    lateness = [one["sent_ns"] - one["intended_ns"] for one in rows]
    assert np.median(lateness) < SECOND / 100 / 2, "half of all sends are nearer to their own instant than to the next"


def test_a_stalled_server_does_not_stop_the_arrivals_and_shows_in_the_latency(
    driver: LocustDriver, tmp_path: Path
) -> None:
    stalled = Behaviour(time_to_first_token_s=0.02, stall_at_s=1.0, stall_s=2.0)
    with process.start(stalled, tmp_path / "log") as server:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(40, 9), window_ns=4 * SECOND)
        truth_target.execute(driver, task)
        log = server.stop()
    rows = rows_of(tmp_path / "run")
    arrivals = sorted(sent.arrival_ns for sent in log)
    assert max(b - a for a, b in pairwise(arrivals)) < SECOND, "arrivals went on while the server was silent"
    waits = [one["first_token_ns"] - one["intended_ns"] for one in rows if one["phase"] == "window"]
    assert len(waits) == 160
    assert max(waits) > 1.9 * SECOND
    assert 60 <= sum(wait > 0.1 * SECOND for wait in waits) <= 110, "about the 80 that arrived in the stall waited"


def test_a_frozen_load_generator_shows_as_lateness_and_still_sends_everything(
    driver: LocustDriver, tmp_path: Path
) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(50, 9), window_ns=4 * SECOND)
        events = []
        for event in driver.measure(task, lambda: None):
            events.append(event)
            if event.kind == tasks.WINDOW_OPENS:
                time.sleep(1.0)
                os.kill(driver.pid, signal.SIGSTOP)
                time.sleep(2.0)
                os.kill(driver.pid, signal.SIGCONT)
        log = server.stop()
    end = finished(events)
    rows = rows_of(tmp_path / "run")
    check_nothing_lost_or_sent_twice(rows, log)
    cohort = [one for one in rows if one["phase"] == "window"]
    assert len(cohort) == 200, "what was due in the freeze is of the cohort and was sent"
    lateness = [one["sent_ns"] - one["intended_ns"] for one in cohort]
    assert max(lateness) > 1.5 * SECOND
    assert sum(late > 0.1 * SECOND for late in lateness) > 60
    assert max(one["first_token_ns"] - one["intended_ns"] for one in cohort) > 1.5 * SECOND
    assert end.workers[0].loop_lag_ns_max is not None
    assert end.workers[0].loop_lag_ns_max > 1.5 * SECOND


def test_under_a_cap_arrivals_wait_in_the_client_and_the_wait_is_theirs(driver: LocustDriver, tmp_path: Path) -> None:
    slow = Behaviour(time_to_first_token_s=0.1)
    with process.start(slow, tmp_path / "log") as server:
        task = planned_tasks.task(tmp_path / "run", server.port, constant(40, 1.5), max_in_flight=2)
        end = finished(truth_target.execute(driver, task))
        log = server.stop()
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 60
    assert end.ended == "window_over"
    edges = sorted([(sent.arrival_ns, 1) for sent in log] + [(sent.ended_ns, -1) for sent in log])
    assert max(np.cumsum([step for _, step in edges])) <= 2
    by_arrival = sorted(rows, key=lambda one: one["intended_ns"])
    assert [one["sent_ns"] for one in by_arrival] == sorted(one["sent_ns"] for one in rows), "first come, first served"
    assert by_arrival[-1]["sent_ns"] - by_arrival[-1]["intended_ns"] > SECOND


def test_a_probe_stops_when_too_many_are_in_flight_and_its_unsent_arrivals_are_records(
    driver: LocustDriver, tmp_path: Path
) -> None:
    hanging = Behaviour(time_to_first_token_s=20.0)
    with process.start(hanging, tmp_path / "log") as server:
        task = planned_tasks.task(
            tmp_path / "run", server.port, constant(100, 5), window_ns=2 * SECOND, stop_above_in_flight=30
        )
        end = finished(truth_target.execute(driver, task))
        log = server.stop()
    rows = rows_of(tmp_path / "run")
    assert end.ended == "stopped_saturated"
    unsent = [one for one in rows if one["outcome"] == "not_sent"]
    assert {one["sent_ns"] for one in unsent} == {None}
    assert len(rows) == end.taken == 250, "every arrival up to the end of the planned window"
    assert len(rows) - len(unsent) == len(log) < 100
    assert sum(one["phase"] == "window" for one in rows) == 200


def test_an_interrupted_open_loop_records_what_was_due_and_not_sent(driver: LocustDriver, tmp_path: Path) -> None:
    hanging = Behaviour(time_to_first_token_s=20.0)
    with process.start(hanging, tmp_path / "log") as server:
        task = planned_tasks.task(
            tmp_path / "run", server.port, constant(20, 60), window_ns=30 * SECOND, max_in_flight=4
        )
        end = finished(truth_target.execute(driver, task, stop_after_s=2.5))
    rows = rows_of(tmp_path / "run")
    assert end.ended == "interrupted"
    outcomes = [one["outcome"] for one in rows]
    assert outcomes.count("cancelled") == 4
    assert outcomes.count("not_sent") == len(rows) - 4 > 5
    assert all(one["intended_ns"] < end.drain_end_ns for one in rows), "what was not due is no row"


def _sessions(count: int, turns: int, think_ns: int, *, offset_ns: int | None) -> list[dict[str, object]]:
    return [
        row(
            session * turns + turn,
            None if turn or offset_ns is None else session * offset_ns,
            session_id=f"s{session}",
            turn=turn,
            think_time_ns=think_ns if turn else None,
        )
        for session in range(count)
        for turn in range(turns)
    ]


def test_a_turn_is_intended_at_the_end_of_the_turn_before_plus_its_think_time(
    driver: LocustDriver, tmp_path: Path
) -> None:
    think_ns = SECOND // 10
    with process.start(QUICK, tmp_path / "log") as server:
        rows = _sessions(40, 3, think_ns, offset_ns=SECOND // 20)
        task = planned_tasks.task(tmp_path / "run", server.port, rows)
        end = finished(truth_target.execute(driver, task))
    by_turn = {(one["session_id"], one["turn"]): one for one in rows_of(tmp_path / "run")}
    assert len(by_turn) == end.taken > 60
    followers = 0
    for (session, turn), one in by_turn.items():
        assert one["sent_ns"] >= one["intended_ns"]
        if turn:
            assert one["intended_ns"] == by_turn[session, turn - 1]["done_ns"] + think_ns
            followers += 1
        expected = "warm_up" if one["intended_ns"] < (end.window_start_ns or 0) else "window"
        assert one["phase"] == (expected if one["intended_ns"] < (end.window_end_ns or 0) else "drain")
    assert followers > 40


def test_a_closed_loop_of_sessions_keeps_so_many_sessions_open(driver: LocustDriver, tmp_path: Path) -> None:
    think_ns = SECOND // 20
    with process.start(QUICK, tmp_path / "log") as server:
        rows = _sessions(200, 3, think_ns, offset_ns=None)
        task = planned_tasks.task(tmp_path / "run", server.port, rows, concurrency=3)
        truth_target.execute(driver, task)
    records = rows_of(tmp_path / "run")
    spans: dict[str, list[int]] = {}
    for one in records:
        spans.setdefault(one["session_id"], []).extend([one["sent_ns"], one["done_ns"]])
        assert (one["intended_ns"] is None) == (one["turn"] == 0)
    edges = sorted([(min(span), 1) for span in spans.values()] + [(max(span), -1) for span in spans.values()])
    assert max(np.cumsum([step for _, step in edges])) == 3
    assert len(spans) > 10


@pytest.mark.parametrize("tokens_per_chunk", [1, 3])
def test_cancellation_after_k_tokens_is_exact_to_the_chunk(
    driver: LocustDriver, tmp_path: Path, tokens_per_chunk: int
) -> None:
    burst = Behaviour(time_to_first_token_s=0.01, inter_token_s=0.0, tokens_per_chunk=tokens_per_chunk)
    with process.start(burst, tmp_path / "log") as server:
        rows = constant(50, 3, output_tokens=400, cancel_after_tokens=7)
        task = planned_tasks.task(tmp_path / "run", server.port, rows)
        truth_target.execute(driver, task)
        log = server.stop()
    needed = -(-7 // tokens_per_chunk)
    records = [one for one in rows_of(tmp_path / "run") if one["phase"] == "window"]
    assert len(records) == 50
    for one in records:
        assert (one["outcome"], one["error"]) == ("cancelled", "cancelled as planned")
        assert one["chunk_tokens"] == [tokens_per_chunk] * needed, "up to the chunk with the 7th token, and no further"
        assert one["done_ns"] == one["last_token_ns"]
    assert {sent.outcome for sent in log} <= {Outcome.CANCELLED, Outcome.COMPLETED}


def test_cancellation_after_a_time_resets_the_stream_then(driver: LocustDriver, tmp_path: Path) -> None:
    paced = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.02)
    with process.start(paced, tmp_path / "log") as server:
        rows = constant(20, 3, output_tokens=100, cancel_after_ns=SECOND // 5)
        task = planned_tasks.task(tmp_path / "run", server.port, rows)
        truth_target.execute(driver, task)
        log = server.stop()
    records = [one for one in rows_of(tmp_path / "run") if one["phase"] == "window"]
    assert {(one["outcome"], one["error"]) for one in records} == {("cancelled", "cancelled as planned")}
    assert all(one["done_ns"] - one["sent_ns"] >= SECOND // 5 for one in records)
    assert {sent.outcome for sent in log} == {Outcome.CANCELLED}


def test_a_request_that_ends_before_its_planned_cancellation_is_ok(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        rows = constant(20, 3, cancel_after_tokens=50, cancel_after_ns=20 * SECOND)
        task = planned_tasks.task(tmp_path / "run", server.port, rows)
        truth_target.execute(driver, task)
    records = [one for one in rows_of(tmp_path / "run") if one["phase"] == "window"]
    assert [one["outcome"] for one in records] == ["ok"] * 20


def test_a_planned_window_of_requests_ends_with_the_last_of_them(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(QUICK, tmp_path / "log") as server:
        rows = list(constant(50, 4))
        for one in rows:
            one["phase"] = "warm_up" if one["index"] < 25 else "window" if one["index"] < 55 else "drain"
        task = planned_tasks.task(tmp_path / "run", server.port, rows, window_ns=None, window_requests=30)
        end = finished(truth_target.execute(driver, task))
    cohort = [one for one in rows_of(tmp_path / "run") if one["phase"] == "window"]
    assert [one["index"] for one in cohort] == list(range(25, 55))
    assert end.window_end_ns == cohort[-1]["intended_ns"] + 1
