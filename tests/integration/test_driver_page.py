"""Locust's web page beside a measurement."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import planned_tasks
import psutil
import pytest
import truth_target
from planned_tasks import constant, finished, rows_of

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _status_of_post(url: str) -> int:
    try:
        return int(urllib.request.urlopen(url, data=b"user_count=50&spawn_rate=50").status)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code


@pytest.mark.parametrize("processes", [1, 2])
def test_the_page_shows_the_requests_but_cannot_stop_them(tmp_path: Path, processes: int) -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        process.start(Behaviour(time_to_first_token_s=0.01), tmp_path / "log") as server,
        LocustDriver(tmp_path / "driver.log", processes, web_ui_port=port) as driver,
    ):
        task = planned_tasks.task(tmp_path / "run", server.port, constant(50, 9), window_ns=5_000_000_000)
        events, shown, refused = [], {}, []
        for event in driver.measure(task, lambda: None):
            events.append(event)
            if event.kind == tasks.WINDOW_OPENS:
                refused = [_status_of_post(f"{url}/{route}") for route in ("stop", "swarm")]
            elif event.kind == tasks.WINDOW_CLOSED:
                assert b"<html" in urllib.request.urlopen(url).read()
                shown = json.load(urllib.request.urlopen(f"{url}/stats/requests"))
        pids = [driver.pid, *(child.pid for child in psutil.Process(driver.pid).children())]
        listening = [
            one.laddr.ip
            for pid in pids
            for one in psutil.Process(pid).net_connections()
            if one.status == psutil.CONN_LISTEN
        ]
    assert refused == [403, 403]
    assert set(listening) == {"127.0.0.1"}
    assert finished(events).ended == "window_over"
    assert len(rows_of(tmp_path / "run")) >= 250
    counted = {one["name"]: one["num_requests"] for one in shown["stats"]}
    assert counted["default"] > 50
    assert shown["user_count"] == processes


def test_a_port_that_is_taken_is_one_clear_failure(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        LocustDriver(tmp_path / "driver.log", web_ui_port=taken.getsockname()[1]) as driver,
    ):
        task = planned_tasks.task(tmp_path / "run", 1, constant(10, 3))
        events = truth_target.execute(driver, task)
    assert [event.kind for event in events] == [tasks.FAILED]
    assert "no web page on port" in events[0].facts["message"]
