"""Pruning in the campaign: what the rule reads from a run folder, what is left to measure, and `--resume`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sweep_run import BEATEN, REPETITIONS, write_sweep_run

from harness.assess.contenders import contenders
from harness.campaigns.pruning import to_be_finished, why_beaten
from harness.campaigns.sweep import _left, _next_session
from harness.records.manifest import Manifest
from harness.records.store import RunFolder

SLOW, MIDDLE, FAST = (f"max_batch_size-{slots}" for slots in (BEATEN, 4, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Four deployments: one does not start, of one only the first repetitions are measured."""
    return write_sweep_run(tmp_path_factory.mktemp("pruned") / "run")


def _unpruned(folder: RunFolder) -> Manifest:
    return to_be_finished(folder.manifest())


def test_what_was_measured_of_each_deployment_is_read_from_the_records(folder: RunFolder) -> None:
    found, drift = contenders(folder, _unpruned(folder))
    assert set(found) == {SLOW, MIDDLE, FAST}
    assert {len(seen.throughput) for seen in found[SLOW].values()} == {1}
    assert {len(seen.throughput) for seen in found[FAST].values()} == {REPETITIONS}
    assert set(found[FAST]) == {("all", 4.0), ("all", 12.0)}
    assert [found[MIDDLE]["all", load].admissible for load in (4.0, 12.0)] == [True, False]  # 401 ms, of 400 allowed
    assert 0 < drift < 0.05


def test_the_beaten_one_is_named_with_the_evidence(folder: RunFolder) -> None:
    """Its 53 tokens/s against 151, and 421 ms against 29: figures of the sample report."""
    why = why_beaten(folder, _unpruned(folder), SLOW)
    assert why is not None
    assert why.startswith("beaten at every load by max_batch_size 4: at least 2.8")
    assert why_beaten(folder, _unpruned(folder), FAST) is None
    assert why_beaten(folder, _unpruned(folder), MIDDLE) is None, "at the lower load they are alike"


def test_the_rule_leaves_the_telemetry_alone_which_is_still_being_written(folder: RunFolder) -> None:
    """Reading it would merge its parts, and remove the one that the observer has open."""
    part = folder.part_path("telemetry", "open")
    part.write_bytes(b"")
    contenders(folder, _unpruned(folder))
    assert part.exists()
    part.unlink()


def test_who_failed_or_was_pruned_beats_nobody(folder: RunFolder) -> None:
    manifest = _unpruned(folder)
    for name, change in ((MIDDLE, {"failure": "went away under load"}), (FAST, {"pruned": "beaten"})):
        manifest = manifest.with_deployment(dataclasses.replace(manifest.deployment(name), **change))
    assert why_beaten(folder, manifest, SLOW) is None


def test_a_load_that_is_not_measured_yet_leaves_doubt(folder: RunFolder) -> None:
    manifest = _unpruned(folder)
    kept = [m for m in manifest.measurements if m.point_id != f"{SLOW}-all-c12"]
    assert why_beaten(folder, dataclasses.replace(manifest, measurements=kept), SLOW) is None


def test_with_pruning_nothing_is_left_and_without_it_the_rest_is_measured(folder: RunFolder, tmp_path: Path) -> None:
    pruned = folder.manifest()
    assert _left(pruned) == (0, 0)
    assert _next_session(pruned) is None
    finishing = to_be_finished(pruned)
    assert _left(finishing) == (2 * (REPETITIONS - 1), 1)
    session = _next_session(finishing)
    assert session is not None
    assert session.deployment_id == SLOW
    assert all(d.pruned is None for d in finishing.deployments)
    assert [d.failure for d in finishing.deployments] == [d.failure for d in pruned.deployments]
