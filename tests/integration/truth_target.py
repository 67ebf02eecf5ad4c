"""A truth server and a run folder with a plan, so that the driver can be tried without a campaign."""

from __future__ import annotations

from pathlib import Path

from harness import clock
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.task import Address, Event, MeasurementTask
from harness.plan import matrix
from harness.plan.draw import draw
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario

TEXT_INPUTS = {
    "text_input": "BYTES",
    "max_tokens": "INT32",
    "stream": "BOOL",
    "end_id": "INT32",
    "return_num_input_tokens": "BOOL",
    "return_num_output_tokens": "BOOL",
    "return_perf_metrics": "BOOL",
}
ID_INPUTS = {
    "input_ids": "INT32",
    "input_lengths": "INT32",
    "request_output_len": "INT32",
    "streaming": "BOOL",
    "end_id": "INT32",
}


def scenario(concurrency: int, output_tokens: int, *, max_requests: int = 2000, timeout_s: float = 30.0) -> Scenario:
    """A closed-loop scenario with one point of these sizes."""
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "driver-test",
            "target": {"attach": {"url": "127.0.0.1:1"}},
            "workload": {"input_tokens": 12, "output_tokens": output_tokens},
            "load": {"kind": "closed_loop", "concurrency": concurrency, "max_requests": max_requests},
            "request": {"timeout_s": timeout_s},
        }
    )


def task(folder: Path, port: int, given: Scenario, **changes: object) -> MeasurementTask:
    """Write the plan of `given` into a new run folder and return the task of its only point."""
    point = matrix.points(given, "truth")[0]
    RunFolder.create(folder).write_plan(draw(given, [point]))
    settings: dict[str, object] = {
        "run_folder": str(folder),
        "point_id": point.point_id,
        "ordinal": 0,
        "arm": None,
        "repetition": 0,
        "attempt": 1,
        "salt": "salt",
        "prompt_seed": 1,
        "address": Address("127.0.0.1", port),
        "model": "ensemble",
        "inputs": TEXT_INPUTS,
        "outputs": {},
        "batched": True,
        "tokenizer": None,
        "concurrency": point.concurrency,
        "warm_up_ns": 300_000_000,
        "warm_up_requests": 2 * (point.concurrency or 1),
        "window_ns": 1_500_000_000,
        "window_requests": None,
        "drain_limit_ns": 5_000_000_000,
    }
    return MeasurementTask(**(settings | changes))  # type: ignore[arg-type]


def execute(driver: LocustDriver, assigned: MeasurementTask, *, stop_after_s: float | None = None) -> list[Event]:
    """Run the task with the real driver process; optionally stop it early, as Ctrl-C does."""
    started = clock.now()

    def idle() -> None:
        if stop_after_s is not None and clock.now() - started > stop_after_s * 1e9:
            driver.stop()

    return list(driver.measure(assigned, idle))
