"""Validity reasons that are made to happen: frozen and starved load generators, lying, failing and overloaded servers.

Each is compared with a neighbour that lacks the cause. The neighbour may carry other reasons on a busy machine (its
load generator may really have come late); it never carries the one that is provoked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01)
CLOSED = "{kind: closed_loop, concurrency: 8, max_requests: 5000}"
POISSON = "{kind: open_loop, arrivals: {process: poisson, request_rate_per_s: 40}}"
SCENARIO = """\
version: 1
name: validity
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 10}}
load: {load}
phases: {{warm_up_s: 0.5, window_s: {window_s}, drain_limit_s: 5}}
request: {{timeout_s: 10}}
telemetry: {{period_s: 0.5}}
"""

Interfere = Callable[[psutil.Process], None]


def _run(
    cwd: Path, behaviour: Behaviour, load: str, *, window_s: float = 4, interfere: Interfere | None = None
) -> Path:
    """Run the scenario with the real harness; `interfere` gets the driver process once records are written."""
    with process.start(behaviour, cwd / "log") as server:
        (cwd / "validity.yaml").write_text(SCENARIO.format(port=server.port, load=load, window_s=window_s))
        command = [sys.executable, "-m", "harness.cli.main", "run", "validity.yaml", "--allow-invalid"]
        env = os.environ | {"HARNESS_STATE": str(cwd / "state")}
        with subprocess.Popen(
            command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            if interfere is not None:
                _wait_for_window(cwd, child)
                interfere(_driver_of(child))
            output, _ = child.communicate(timeout=120)
        assert child.returncode == 0, output
    (folder,) = (cwd / "runs").iterdir()
    return folder


def _wait_for_window(cwd: Path, child: subprocess.Popen[str]) -> None:
    """Server statistics are read when the window opens; the truth server answers them."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 2_000 for path in cwd.glob("runs/*/parts/server_statistics-*")):
        assert time.monotonic() < deadline, "the window never opened"
        assert child.poll() is None, child.communicate()[0]
        time.sleep(0.05)


def _driver_of(child: subprocess.Popen[str]) -> psutil.Process:
    everyone = psutil.Process(child.pid).children(recursive=True)
    drivers = [one for one in everyone if "harness.drivers.locust.process" in one.cmdline()]
    assert len(drivers) == 1
    return drivers[0]


def _reasons(folder: Path) -> dict[str, str]:
    (point,) = json.loads((folder / "verdict.json").read_text())["points"].values()
    return {reason["code"]: reason["severity"] for reason in point["validity"]["reasons"]}


def _metric(folder: Path, name: str, statistic: str) -> dict[str, Any]:
    (point,) = json.loads((folder / "metrics.json").read_text())["points"]
    value: dict[str, Any] = point["metrics"][name][statistic]
    return value


@pytest.fixture(scope="module")
def healthy_closed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _reasons(_run(tmp_path_factory.mktemp("closed"), PACED, CLOSED))


@pytest.fixture(scope="module")
def healthy_open(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(tmp_path_factory.mktemp("open"), PACED, POISSON)


def _freeze(seconds: float) -> Interfere:
    def stop(driver: psutil.Process) -> None:
        driver.suspend()
        time.sleep(seconds)
        driver.resume()

    return stop


def _starve(driver: psutil.Process) -> None:
    """As on a core that others keep busy: 40 ms off, 60 ms on, for 3 s."""
    for _ in range(30):
        os.kill(driver.pid, signal.SIGSTOP)
        time.sleep(0.04)
        os.kill(driver.pid, signal.SIGCONT)
        time.sleep(0.06)


@pytest.mark.parametrize("load", [CLOSED, POISSON], ids=["closed", "open"])
def test_a_frozen_load_generator_voids_the_point(
    load: str, tmp_path: Path, healthy_closed: dict[str, str], healthy_open: Path
) -> None:
    folder = _run(tmp_path, PACED, load, interfere=_freeze(2.0))
    found = _reasons(folder)
    assert found["client_standstill"] == "INVALID"
    assert healthy_closed.get("client_standstill") != "INVALID"
    assert _reasons(healthy_open).get("client_standstill") != "INVALID"
    if load == POISSON:
        assert found["schedule_lag"] == "INVALID"
        assert found["late_arrivals"] == "INVALID"
        late = _metric(folder, "schedule_lag", "max")["value"]
        assert late > 1e9, "what was due in the freeze left after it, and none was dropped"
        assert _metric(folder, "time_to_first_token", "max")["value"] > 1e9, "it is in the latency as well"


def test_what_leaves_after_the_window_was_not_sent_at_the_rate_asked(tmp_path: Path, healthy_open: Path) -> None:
    def freeze_over_the_end(driver: psutil.Process) -> None:
        time.sleep(2.0)
        _freeze(2.6)(driver)

    assert "achieved_rate" in _reasons(_run(tmp_path, PACED, POISSON, interfere=freeze_over_the_end))
    assert "achieved_rate" not in _reasons(healthy_open)


def test_arrivals_that_never_leave_void_the_point(tmp_path: Path, healthy_open: Path) -> None:
    capped = POISSON.replace("}}", "}, concurrency_cap: 2}")
    slow = Behaviour(time_to_first_token_s=0.4, inter_token_s=0.01)
    found = _reasons(_run(tmp_path, slow, capped, window_s=4))
    assert found["unsent_arrivals"] == "INVALID", "two at a time, half a second each: most still wait at the end"
    assert "unsent_arrivals" not in _reasons(healthy_open)


def test_a_server_that_settles_within_the_window_is_not_steady(tmp_path: Path, healthy_closed: dict[str, str]) -> None:
    settling = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01, slow_until_s=2.5, slow_ratio=3.0)
    assert "not_steady" in _reasons(_run(tmp_path, settling, CLOSED, window_s=6))
    assert "not_steady" not in healthy_closed


def test_a_starved_load_generator_is_seen_by_its_loop(tmp_path: Path, healthy_closed: dict[str, str]) -> None:
    found = _reasons(_run(tmp_path, PACED, CLOSED, interfere=_starve))
    assert found["client_lag"] in ("SUSPECT", "INVALID")


def test_a_server_that_stalls_shows_in_the_percentiles_and_not_as_our_fault(tmp_path: Path, healthy_open: Path) -> None:
    stalling = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01, stall_at_s=2.0, stall_s=2.0)
    folder = _run(tmp_path, stalling, POISSON, window_s=6)
    p90 = _metric(folder, "time_to_first_token", "p90")["value"]
    assert p90 > 5e8, "a third of the arrivals met the stall"
    assert p90 > 5 * _metric(healthy_open, "time_to_first_token", "p90")["value"]
    assert "client_standstill" not in _reasons(folder)
    assert "unsent_arrivals" not in _reasons(folder)


def test_a_server_that_refuses_makes_users_back_off(tmp_path: Path, healthy_closed: dict[str, str]) -> None:
    refusing = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01, reject_share=0.4)
    assert "achieved_concurrency" in _reasons(_run(tmp_path, refusing, CLOSED))
    assert "achieved_concurrency" not in healthy_closed


def test_a_server_that_counts_otherwise_is_seen(tmp_path: Path, healthy_closed: dict[str, str]) -> None:
    lying = Behaviour(time_to_first_token_s=0.05, inter_token_s=0.01, claimed_output_tokens_off_by=-3)
    assert _reasons(_run(tmp_path, lying, CLOSED))["token_counts"] == "INVALID"
    assert "token_counts" not in healthy_closed


def test_sends_that_are_held_back_are_no_poisson_process(tmp_path: Path, healthy_open: Path) -> None:
    found = _reasons(_run(tmp_path, PACED, POISSON, window_s=6, interfere=_hold_back))
    assert "arrivals" in found
    assert "arrivals" not in _reasons(healthy_open)


def _hold_back(driver: psutil.Process) -> None:
    """Sends leave in clumps: 180 ms off, 20 ms on, for 5 s."""
    for _ in range(25):
        os.kill(driver.pid, signal.SIGSTOP)
        time.sleep(0.18)
        os.kill(driver.pid, signal.SIGCONT)
        time.sleep(0.02)
