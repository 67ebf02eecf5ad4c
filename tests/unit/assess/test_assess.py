"""From a run folder on disk to metrics.json, verdict.json and an exit code."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.assess.assess import assess, assess_tables, ending, scenario_of
from harness.assess.files import metrics_json, verdict_json, write_files
from harness.errors import Ending
from harness.metrics.results import Assessment
from harness.records import calibration as calibrations
from harness.records.calibration import Calibration, Ceiling, NotCalibrated
from harness.records.schemas import TELEMETRY
from harness.records.store import RunFolder
from tests.oracle.healthy import closed_loop, failing
from tests.oracle.runs import SCENARIO_TEXT, Row, at, manifest, measurement, table

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


def test_a_saturated_point_shows_no_percentile_and_meets_no_objective():
    assessment = assessed(healthy(), ended="stopped_saturated")
    metrics = assessment.points[0].metrics
    assert metrics["time_to_first_token"]["p50"].reason == "not available: stopped, saturated"
    assert metrics["inter_chunk_latency"]["max"].value is None
    assert metrics["error_ratio"]["value"].value == 0
    assert [result.status for result in assessment.objectives["p"]] == ["missed", "missed"]
    assert ending(assessment) is Ending.FAIL
    assert ending(assessed(healthy())) is Ending.PASS


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
    assert (first["metric"], first["status"]) == ("time_to_first_token", "met")
    assert first["observed"]["value"] == pytest.approx(0.7e9 / ENOUGH, rel=1e-3)
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


def test_a_run_without_a_profile_is_noted_and_stays_valid(folder):
    folder.write_text(calibrations.FILE, calibrations.to_json(NotCalibrated("run: harness calibrate")))
    assessment = assess(folder)
    assert assessment.notes == ["not calibrated: run: harness calibrate"]
    assert assessment.validity["p"].status == "VALID"


def test_a_profile_in_the_folder_reaches_the_judge(folder):
    ceilings = [Ceiling("output_tokens", 100.0, 1.0, "client"), Ceiling("requests", 100.0, 1.0, "client")]
    folder.write_text(calibrations.FILE, calibrations.to_json(Calibration("k", "0", 0, "p", {}, ceilings=ceilings)))
    assessment = assess(folder)
    assert [reason.code for reason in assessment.validity["p"].reasons] == ["client_ceiling"]
    assert assessment.notes == []


def test_telemetry_in_the_folder_reaches_the_judge(folder):
    sample = {"source": "nvml", "entity": "GPU-a", "metric": "xid_errors", "unit": "count"}
    rows = [sample | {"time_ns": at(ms), "value": value} for ms, value in [(200, 0.0), (500, 1.0)]]
    pq.write_table(pa.Table.from_pylist(rows, schema=TELEMETRY), folder.path / "telemetry.parquet")
    assert [reason.code for reason in assess(folder).validity["p"].reasons] == ["gpu_fault"]


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


TENANTS = """\
version: 1
name: two-tenants
target: {attach: {url: "127.0.0.1:8001"}}
workload: {input_tokens: 12, output_tokens: 4}
load:
  kind: multi_tenant
  tenants:
    - name: people
      arrivals: {process: poisson, request_rate_per_s: 100}
      objectives: [{metric: error_ratio, at_most_ratio: 0.01}]
    - name: batch
      arrivals: {process: poisson, request_rate_per_s: 100}
      objectives: [{metric: error_ratio, at_most_ratio: 0.01}]
"""


def test_a_tenants_objectives_are_judged_on_its_own_requests_alone():
    rows = [{**row, "tenant": "people" if index % 2 else "batch"} for index, row in enumerate(healthy())]
    rows = [failing([row], 1, "rejected")[0] if row["tenant"] == "batch" and row["index"] < 40 else row for row in rows]
    run = manifest([measurement(len(rows))], scenario_text=TENANTS)
    assessment = assess_tables(run, scenario_of(run), table(rows))
    judged = [(result.tenant, result.status) for result in assessment.objectives["p"]]
    assert judged == [("people", "met"), ("batch", "missed")]
