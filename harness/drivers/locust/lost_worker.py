"""What becomes of the arrivals of a worker process that died: those that were due and left no record get one.

Its last seconds of records died with it, so whether such an arrival was sent cannot be known; the error says so.
"""

from __future__ import annotations

from pathlib import Path

from harness.drivers.locust import requests
from harness.drivers.locust.phases import Phases
from harness.drivers.locust.recorder import FinishedRequest, Identity, Recorder
from harness.drivers.task import MeasurementTask
from harness.protocols.answer import Answer
from harness.records.schemas import REQUESTS
from harness.records.store import PartWriter, RunFolder, read_part, requests_part_labels

Window = tuple[int | None, int | None]  # start, end

WHY = "the worker process died: whether it was sent is not known"


def record_unsent(
    task: MeasurementTask,
    worker: int,
    workers: int,
    start_ns: int,
    until_ns: int,
    window: tuple[int | None, int | None],
) -> int:
    """Write a `not_sent` row for each planned arrival of this open-loop share up to `until_ns`; returns how many.

    Later turns of sessions are left out: nobody knows when they would have been due.
    """
    folder = RunFolder(Path(task.run_folder))
    labels = requests_part_labels(task.ordinal, task.repetition, task.attempt, worker)
    kept = set(read_part(folder.part_path("requests", *labels), REQUESTS)["index"].to_pylist())
    phases = Phases(window_start_ns=window[0], window_end_ns=window[1])
    with PartWriter(folder.part_path("requests", *labels, "lost"), REQUESTS) as writer:
        identity = Identity(task.point_id, task.repetition, task.arm, worker, open_loop=True)
        recorder = Recorder(writer, identity, phases.phase)
        for session in requests.build(task, worker, workers).sessions:
            first = session[0]
            intended_ns = start_ns + (first.intended_offset_ns or 0)
            if intended_ns <= until_ns and first.index not in kept:
                recorder.add(FinishedRequest(first, intended_ns, None, False, Answer("not_sent", WHY, 0)))
        recorder.flush()
    return recorder.written
