"""From a run folder on disk to metrics.json, verdict.json and an exit code."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from harness.assess.assess import assess, assess_tables, ending, scenario_of
from harness.assess.files import metrics_json, verdict_json, write_files
from harness.errors import Ending
from harness.metrics.results import Assessment
from harness.records.store import RunFolder
from tests.oracle.healthy import closed_loop, failing
from tests.oracle.runs import SCENARIO_TEXT, Row, manifest, measurement, table

OBJECTIVES = """\
objectives:
  - {metric: time_to_first_token, statistic: p95, at_most_ms: 60}
  - {metric: error_ratio, at_most_ratio: 0.01}
"""
ENOUGH = 368


def assessed(rows: list[Row], *, objectives: str = OBJECTIVES, **changes) -> Assessment:
    run = manifest([measurement(len(rows), **changes)], scenario_text=SCENARIO_TEXT + objectives)
    return assess_tables(run, scenario_of(run), table(rows))


def healthy(n: int = ENOUGH) -> list[Row]:
    return closed_loop(n)


def test_a_healthy_run_within_its_objectives_passes():
    assessment = assessed(healthy())
    assert [result.status for result in assessment.objectives["p"]] == ["met", "met"]
    assert ending(assessment) is Ending.PASS
    assert assessment.points[0].metrics["attainment"]["value"].value == 1


def test_a_missed_objective_fails():
    assert ending(assessed(failing(healthy(), 8, "rejected"))) is Ending.FAIL


def test_without_objectives_errors_do_not_change_the_ending():
    assert ending(assessed(failing(healthy(), 200, "rejected"), objectives="")) is Ending.PASS


def test_an_objective_without_data_is_inconclusive():
    assessment = assessed(healthy(71))
    assert assessment.validity["p"].status == "SUSPECT"
    assert ending(assessment) is Ending.INCONCLUSIVE


def test_an_invalid_point_decides_nothing_but_that_it_is_invalid():
    assessment = assessed(failing(healthy(), ENOUGH))
    assert assessment.objectives["p"][1].status == "missed"
    assert ending(assessment) is Ending.INVALID
    assert ending(assessment, allow_invalid=True) is Ending.PASS


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run")
    made.write_manifest(manifest([measurement(ENOUGH)], scenario_text=SCENARIO_TEXT + OBJECTIVES))
    pq.write_table(table(healthy()), made.path / "requests.parquet", row_group_size=100)
    return made


def test_a_run_folder_alone_is_enough(folder):
    write_files(folder, assess(folder))
    verdict = json.loads((folder.path / "verdict.json").read_text())
    assert (verdict["status"], verdict["exit_code"]) == ("PASS", 0)
    assert verdict["points"]["p"]["validity"] == {"status": "VALID", "reasons": []}
    first = verdict["points"]["p"]["objectives"][0]
    assert (first["metric"], first["status"], first["observed"]["value"]) == (
        "time_to_first_token",
        "met",
        pytest.approx(1.902e6, rel=1e-3),
    )
    (point,) = json.loads((folder.path / "metrics.json").read_text())["points"]
    assert point["repetitions"][0]["offered_rate_per_s"] == pytest.approx(ENOUGH / 0.7)


def test_every_value_in_the_files_has_unit_n_and_an_interval_or_a_reason(folder):
    (point,) = json.loads(metrics_json(assess(folder)))["points"]
    for statistics in [*point["metrics"].values(), *point["repetitions"][0]["metrics"].values()]:
        for name, value in statistics.items():
            assert value["unit"] in ("ns", "per_s", "ratio", "tokens")
            assert isinstance(value["n"], int)
            assert (value["value"] is None) == (value["reason"] is not None)
            if name.startswith("p") and value["value"] is not None:
                assert value["interval"] == "order_statistic_95"


def test_the_same_folder_gives_the_same_bytes(folder):
    first, second = assess(folder), assess(RunFolder.open(folder.path))
    assert metrics_json(first) == metrics_json(second)
    assert verdict_json(first) == verdict_json(second)
    assert json.dumps(json.loads(metrics_json(first)), sort_keys=True, indent=2, ensure_ascii=False) + "\n" == (
        metrics_json(first)
    )


def test_other_metric_definitions_are_said(folder):
    raw = json.loads((folder.path / "manifest.json").read_text())
    raw["metrics_version"] = 0
    (folder.path / "manifest.json").write_text(json.dumps(raw))
    assert "metric definitions 0" in assess(folder).notes[0]
