"""Whole run folders in a moment: a healthy closed loop of a given pace, so that baselines and gates have something.

One run takes some 50 ms to write and to judge; nothing in it was measured.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from tests.oracle.healthy import closed_loop, failing
from tests.oracle.runs import SCENARIO_TEXT, Row, manifest, measurement, table

REQUESTS = 400
HOST = {"cpu_model": "Model Cpu 9000", "cpu_affinity": 4, "kernel": "6.1"}
ARMS = ("baseline", "candidate")


def write_run(
    path: Path,
    *,
    slower: float = 1.0,
    failures: int = 0,
    objectives: str = "",
    point: str = "p",
    run: dict[str, Any] | None = None,
    **deployment: Any,
) -> Path:
    """A run of about REQUESTS requests in 700 ms, each `slower` times as long as usual; its id is the folder's name.

    `failures`: how many timed out. `run`: fields of the manifest; `deployment`: of its one deployment.
    """
    rows = failing(closed_loop(2 * round(REQUESTS / slower / 2), point_id=point), failures)
    made = manifest(
        [measurement(len(rows), point_id=point)],
        scenario_text=SCENARIO_TEXT + objectives,
        **{"engine_name": "cpu-tiny", **deployment},
    )
    points = [dataclasses.replace(made.points[0], point_id=point)]
    return _written(path, dataclasses.replace(made, points=points, **{"host": HOST, **(run or {})}), rows)


def write_pair_run(path: Path) -> Path:
    """A run whose one point has two arms, as `gate pair` leaves it."""
    rows = [row for arm in ARMS for row in closed_loop(REQUESTS, arm=arm)]
    made = manifest([measurement(REQUESTS, arm=arm) for arm in ARMS], repetitions=1)
    points = [dataclasses.replace(made.points[0], arm=arm) for arm in ARMS]
    return _written(path, dataclasses.replace(made, points=points, arms=dict.fromkeys(ARMS, "d")), rows)


def _written(path: Path, made: Manifest, rows: list[Row]) -> Path:
    folder = RunFolder.create(path)
    folder.write_manifest(dataclasses.replace(made, run_id=path.name))
    pq.write_table(table(rows), path / "requests.parquet")
    return path
