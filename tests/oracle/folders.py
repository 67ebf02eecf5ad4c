"""Whole run folders in a moment: a healthy closed loop of a given pace, so that baselines and gates have something.

One run takes some 50 ms to write and to judge; nothing in it was measured.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from harness.records.store import RunFolder
from tests.oracle.healthy import closed_loop, failing
from tests.oracle.runs import SCENARIO_TEXT, manifest, measurement, table

REQUESTS = 400
HOST = {"cpu_model": "Model Cpu 9000", "cpu_affinity": 4, "kernel": "6.1"}


def write_run(
    path: Path,
    *,
    slower: float = 1.0,
    failures: int = 0,
    objectives: str = "",
    run: dict[str, Any] | None = None,
    **deployment: Any,
) -> Path:
    """A run of about REQUESTS requests in 700 ms, each `slower` times as long as usual; its id is the folder's name.

    `failures`: how many timed out. `run`: fields of the manifest; `deployment`: of its one deployment.
    """
    rows = failing(closed_loop(2 * round(REQUESTS / slower / 2)), failures)
    made = manifest(
        [measurement(len(rows))], scenario_text=SCENARIO_TEXT + objectives, **{"engine_name": "cpu-tiny", **deployment}
    )
    folder = RunFolder.create(path)
    folder.write_manifest(dataclasses.replace(made, **{"run_id": path.name, "host": HOST, **(run or {})}))
    pq.write_table(table(rows), path / "requests.parquet")
    return path
