"""The verdict over a run folder with two arms: what makes it INVALID or NOT_COMPARABLE, and what it says else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.assess.pair_verdict import verdict_of
from harness.gate.pairs import BASELINE, CANDIDATE
from harness.gate.verdict import FAIL, INCONCLUSIVE, INVALID, NOT_COMPARABLE, PASS
from harness.records.manifest import Deployment, Manifest, Measurement
from harness.records.store import RunFolder
from tests.oracle.healthy import closed_loop, failing
from tests.oracle.runs import SCENARIO_TEXT, Row, manifest, measurement, table

N = 100
ARMS = (BASELINE, CANDIDATE)
GATE = "gate: {looks: [4, 6]}\n"


def folder_of(
    tmp_path: Path, rows: list[Row], measured: list[Measurement], gate: str = GATE, **candidate: Any
) -> RunFolder:
    """A run folder with these rows; `candidate`: what its deployment has that the baseline's has not."""
    run = manifest(measured, scenario_text=SCENARIO_TEXT + gate)
    own: dict[str, Deployment] = {
        arm: dataclasses.replace(run.deployments[0], deployment_id=f"d-{arm}", engine_name=f"engine-{arm}")
        for arm in ARMS
    }
    own[CANDIDATE] = dataclasses.replace(own[CANDIDATE], **candidate)
    points = [dataclasses.replace(run.points[0], arm=arm, deployment_id=f"d-{arm}", repetitions=4) for arm in ARMS]
    made = RunFolder.create(tmp_path / "run")
    names = {BASELINE: "old", CANDIDATE: "engines/new.yaml"}
    made.write_manifest(
        dataclasses.replace(run, campaign="gate_pair", points=points, deployments=list(own.values()), arms=names)
    )
    pq.write_table(table(rows), made.path / "requests.parquet")
    return made


def pairs(n: int = 4) -> tuple[list[Row], list[Measurement]]:
    """Healthy and equal."""
    keys = [(arm, number) for number in range(n) for arm in ARMS]
    rows = [row for arm, number in keys for row in closed_loop(N, arm=arm, repetition=number)]
    return rows, [measurement(N, arm=arm, repetition=number) for arm, number in keys]


def broken(measured: list[Measurement], arm: str, *numbers: int) -> list[Measurement]:
    """These repetitions lost a record."""
    return [
        dataclasses.replace(m, records_expected=N + 1) if (m.arm in arm and m.repetition in numbers) else m
        for m in measured
    ]


def test_equal_arms_pass_and_the_sides_are_named_as_the_person_named_them(tmp_path: Path) -> None:
    verdict = verdict_of(folder_of(tmp_path, *pairs()), {"pairs": 24})
    assert (verdict.status, verdict.pairs, verdict.scenario, verdict.point_id) == (PASS, 4, "small", "p")
    assert (verdict.baseline, verdict.candidate) == ("old", "new")
    assert verdict.testbed == {"pairs": 24}
    assert {field.status for field in verdict.identity} <= {"same", "declared", "unknown"}
    assert "target.name" in [field.name for field in verdict.identity if field.status == "declared"]


def test_other_hardware_is_not_comparable_whatever_the_pairs_say(tmp_path: Path) -> None:
    gpus = {"kind": "attach", "url": "far:1", "gpu_count": 2, "gpu_product": "NVIDIA H200"}
    verdict = verdict_of(folder_of(tmp_path, *pairs(), **gpus))
    assert verdict.status == NOT_COMPARABLE
    assert "hardware.gpu_count" in verdict.sentence


def test_a_treatment_of_settings_is_what_a_gate_is_for(tmp_path: Path) -> None:
    verdict = verdict_of(folder_of(tmp_path, *pairs(), settings={"max_batch_size": 8}, engine_hash="b"))
    assert verdict.status == PASS


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_that_cannot_be_believed_makes_the_verdict_invalid(tmp_path: Path, arm: str) -> None:
    rows, measured = pairs()
    verdict = verdict_of(folder_of(tmp_path, rows, broken(measured, arm, 0, 1)))
    assert (verdict.status, verdict.ending.code) == (INVALID, 3)
    assert f"the {arm} cannot be believed" in verdict.sentence


def test_one_unusable_pair_of_five_is_left_out_and_said(tmp_path: Path) -> None:
    rows, measured = pairs(5)
    verdict = verdict_of(folder_of(tmp_path, rows, broken(measured, BASELINE, 2)))
    assert (verdict.status, verdict.pairs) == (PASS, 4)
    assert any("pair 3: baseline is INVALID" in warning for warning in verdict.warnings)


def test_a_candidate_that_answers_nothing_fails_and_a_baseline_is_invalid(tmp_path: Path) -> None:
    rows, measured = pairs()
    for arm, status in ((CANDIDATE, FAIL), (BASELINE, INVALID)):
        dead = [row for row in rows if row["arm"] != arm]
        dead += [row for number in range(4) for row in failing(closed_loop(N, arm=arm, repetition=number), N)]
        assert verdict_of(folder_of(tmp_path / arm, dead, measured)).status == status


def test_before_any_pair_is_complete_nothing_is_decided(tmp_path: Path) -> None:
    rows, measured = pairs(1)
    verdict = verdict_of(folder_of(tmp_path, [r for r in rows if r["arm"] == BASELINE], measured[:1]))
    assert verdict.status in (INCONCLUSIVE, INVALID)
    assert verdict.pairs == 0


def test_a_margin_below_the_smallest_honest_one_warns(tmp_path: Path) -> None:
    bed = {"pairs": 24, "smallest_honest_margins": {"time_to_first_token.p95": 0.2}}
    verdict = verdict_of(folder_of(tmp_path, *pairs()), bed)
    assert any("time_to_first_token p95: the margin 0.05 is below 0.2" in warning for warning in verdict.warnings)


def test_a_manifest_with_arms_survives_json(tmp_path: Path) -> None:
    made = folder_of(tmp_path, *pairs())
    found: Manifest = made.manifest()
    assert found.arms == {BASELINE: "old", CANDIDATE: "engines/new.yaml"}
