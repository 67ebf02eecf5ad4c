"""Each validity reason where it applies, beside the neighbouring healthy run that stays VALID."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pyarrow as pa
import pytest

from harness.analysis import thresholds
from harness.analysis.evidence import Beside
from harness.analysis.validity import REASONS, UNUSABLE_REPETITIONS, judge
from harness.metrics.results import Validity
from harness.metrics.summary import summarise
from harness.records.manifest import Measurement, WorkerReport
from harness.records.schemas import PLAN
from tests.oracle.healthy import answered, closed_loop, failing
from tests.oracle.runs import Row, at, manifest, measurement, table

ENOUGH = 368


def healthy(n: int = ENOUGH, **changes) -> list[Row]:
    return closed_loop(n, **changes)


def judged(rows: list[Row], *measurements: Measurement, percentiles=(), **changes) -> Validity:
    run = manifest(list(measurements) or [measurement(len(rows))], **changes)
    requests = table(rows)
    return judge(run, requests, summarise(run, requests), percentiles)["p"]


def codes(validity: Validity) -> list[tuple[str, str]]:
    return [(reason.code, reason.severity) for reason in validity.reasons]


def changed(rows: list[Row], how_many: int, **changes) -> list[Row]:
    return [{**r, **changes} if i < how_many else r for i, r in enumerate(rows)]


def test_a_healthy_run_is_valid():
    assert judged(healthy()) == Validity("VALID", [])


def test_every_reason_says_what_to_do():
    rows = changed(healthy()[:50], 25, output_tokens_server=2, phase="drain")
    broken = dataclasses.replace(measurement(51), complete=False, ended="interrupted")
    reasons = judged(rows, broken, repetitions=2).reasons
    assert {reason.code for reason in reasons} >= {
        "not_measured",
        "interrupted",
        "lost_records",
        "token_counts",
        "phases",
    }
    assert all(reason.advice and reason.message for reason in reasons)
    assert all(reason.code in REASONS for reason in reasons)


@pytest.mark.parametrize(("n", "status"), [(72, "VALID"), (71, "SUSPECT")])
def test_a_p95_without_enough_requests_is_suspect(n, status):
    validity = judged(healthy(n))
    assert validity.status == status


@pytest.mark.parametrize(("n", "status"), [(ENOUGH, "VALID"), (ENOUGH - 1, "SUSPECT")])
def test_a_p99_that_an_objective_names_needs_its_requests(n, status):
    validity = judged(healthy(n), percentiles=[("time_to_first_token", "p99")])
    assert validity.status == status


def test_too_few_requests_name_every_percentile_and_the_number_needed():
    (reason,) = judged(healthy(71), percentiles=[("time_to_first_token", "p99")]).reasons
    assert "p95 of time_to_first_token needs 72 (has 71)" in reason.message
    assert "p99 of time_to_first_token needs 368 (has 71)" in reason.message
    assert "at least 368" in reason.advice


def test_a_percentile_of_an_objective_needs_its_own_requests():
    assert judged(healthy(), percentiles=[("request_latency", "p99")]).status == "VALID"
    validity = judged(healthy(), percentiles=[("request_latency", "p999")])
    assert "p999 of request_latency needs 3688 (has 368)" in validity.reasons[0].message


def test_missing_records_void_a_point():
    assert codes(judged(healthy()[1:], measurement(ENOUGH)))[0] == ("lost_records", "INVALID")


def test_a_record_that_could_not_be_written_voids_a_point():
    worker = WorkerReport(0, 0.1, 1.0, ENOUGH, 1, 1000)
    validity = judged(healthy(), measurement(ENOUGH, workers=[worker]))
    assert codes(validity) == [("lost_records", "INVALID")]
    assert "1 records could not be written" in validity.reasons[0].message


def test_a_record_that_occurs_twice_voids_a_point():
    rows = [*healthy(), healthy()[0]]
    assert codes(judged(rows, measurement(ENOUGH + 1))) == [("lost_records", "INVALID")]


def test_the_end_of_the_planned_sequence_is_suspect():
    assert codes(judged(healthy(), measurement(ENOUGH, ended="max_requests"))) == [("max_requests", "SUSPECT")]


def test_a_window_without_a_success_voids_a_point():
    assert codes(judged(failing(healthy(), ENOUGH))) == [("no_success", "INVALID")]
    assert judged(failing(healthy(), ENOUGH - 1)).status == "VALID"


def test_an_empty_window_voids_a_point():
    validity = judged([answered(i, 100, phase="warm_up") for i in range(ENOUGH)])
    assert ("no_success", "INVALID") in codes(validity)
    assert "no request in the window" in validity.reasons[0].message


SHORT = (200.0, 600.0)


def stopped(ended: str, repetition: int = 1, **changes) -> Measurement:
    return measurement(ENOUGH, repetition=repetition, complete=False, ended=ended, window_end_ns=at(600), **changes)


def test_an_interrupted_repetition_voids_a_point_unless_a_complete_one_stands_beside_it():
    short = healthy(repetition=2, window_ms=SHORT)
    assert codes(judged(short, stopped("interrupted", 2))) == [("interrupted", "INVALID")]
    both = healthy() + short
    assert codes(judged(both, measurement(ENOUGH), stopped("interrupted", 2))) == [("interrupted", "SUSPECT")]
    whole = healthy() + healthy(repetition=2)
    assert judged(whole, measurement(ENOUGH), measurement(ENOUGH, repetition=2)).status == "VALID"


@pytest.mark.parametrize("ended", ["target_lost", "driver_failed"])
def test_a_lost_target_or_driver_voids_a_point_even_beside_a_complete_repetition(ended):
    both = healthy() + healthy(repetition=2, window_ms=SHORT)
    validity = judged(both, measurement(ENOUGH), stopped(ended, 2, message="connection refused"))
    assert codes(validity) == [(ended, "INVALID")]
    assert validity.reasons[0].message.startswith("repetition 2: ")
    assert validity.reasons[0].message.endswith("connection refused")


def test_repetitions_that_were_never_measured_are_missed():
    assert codes(judged(healthy(), repetitions=2)) == [("not_measured", "SUSPECT")]
    run = manifest([], repetitions=1)
    assert judge(run, table([]), summarise(run, table([])))["p"].status == "INVALID"


def test_a_phase_label_against_the_instants_is_suspect():
    assert codes(judged(changed(healthy(), 1, phase="drain"))) == [("phases", "SUSPECT")]
    around = [answered(ENOUGH, 199, phase="warm_up"), answered(ENOUGH + 1, 900, phase="drain")]
    assert judged(healthy() + around).status == "VALID"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output_tokens_client": 3}, "output tokens, server against client"),
        ({"input_tokens_client": 7}, "input tokens, server against client"),
        ({"output_tokens_server": 3, "output_tokens_client": 3}, "output tokens, achieved against asked"),
        ({"output_tokens_server": None, "output_tokens_client": 3}, "output tokens, achieved against asked"),
        ({"input_tokens_server": 9, "input_tokens_client": None}, "input tokens, achieved against asked"),
    ],
)
def test_token_counts_that_disagree_are_suspect_above_one_percent_of_requests(changes, words):
    few, many = 3, 4  # of 368: 0.8% and 1.1%
    assert judged(changed(healthy(), few, **changes)).status == "VALID"
    validity = judged(changed(healthy(), many, **changes))
    assert codes(validity) == [("token_counts", "SUSPECT")]
    assert words in validity.reasons[0].message


def test_answers_far_shorter_than_asked_void_a_point():
    clamped = {"output_tokens_server": 2, "output_tokens_client": None}
    assert judged(changed(healthy(), 70, **clamped)).status == "SUSPECT"
    assert judged(changed(healthy(), 80, **clamped)).status == "INVALID"


def test_token_counts_of_failed_requests_and_of_warm_up_are_not_compared():
    odd = {"output_tokens_server": 1, "output_tokens_client": 1}
    rows = changed(healthy(), 50, **odd, outcome="bad_stream")
    rows += [answered(ENOUGH + i, 100, phase="warm_up", **odd) for i in range(50)]
    assert judged(rows).status == "VALID"


def test_the_readme_lists_every_reason_and_threshold():
    content = (Path(thresholds.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", content, re.MULTILINE)) == {*REASONS, UNUSABLE_REPETITIONS}
    values = {name: value for name, value in vars(thresholds).items() if isinstance(value, int | float)}
    missing = [f"`{name}` = {value:g}" for name, value in values.items() if f"`{name}` = {value:g}" not in content]
    assert len(values) > 30
    assert not missing


def _plan(rows: list[Row], new_input_tokens: int | None) -> pa.Table:
    """The plan of these rows, as far as it tells which prompts repeat real replies."""
    columns = {field.name: pa.nulls(len(rows), field.type) for field in PLAN}
    columns |= {"point_id": pa.array(["p"] * len(rows)), "repetition": pa.array([1] * len(rows), pa.int32())}
    columns |= {"index": pa.array([row["index"] for row in rows], pa.int64())}
    return pa.table(columns | {"new_input_tokens": pa.array([new_input_tokens] * len(rows), pa.int32())})


@pytest.mark.parametrize(("new_input_tokens", "judged_as"), [(5, []), (None, [("token_counts", "INVALID")])])
def test_turns_that_repeat_real_replies_need_not_have_the_planned_length(new_input_tokens, judged_as):
    rows = [
        {**row, "input_tokens_server": row["input_tokens_asked"] * 2, "input_tokens_client": None} for row in healthy()
    ]
    run, requests = manifest([measurement(len(rows))]), table(rows)
    beside = Beside(plan=_plan(rows, new_input_tokens))
    assert codes(judge(run, requests, summarise(run, requests), beside=beside)["p"]) == judged_as


@pytest.mark.parametrize(("from_file", "judged_as"), [(True, []), (False, [("token_counts", "INVALID")])])
def test_texts_of_a_file_that_nobody_could_count_are_not_judged_by_their_length(from_file, judged_as):
    rows = [
        {**row, "input_tokens_server": row["input_tokens_asked"] * 2, "input_tokens_client": None} for row in healthy()
    ]
    run, requests = manifest([measurement(len(rows))]), table(rows)
    named = {(run.points[0].workload, rows[0]["workload_part"])} if from_file else set()
    beside = Beside(parts_from_file=frozenset(named))
    assert codes(judge(run, requests, summarise(run, requests), beside=beside)["p"]) == judged_as


def test_answers_that_come_whole_are_judged_by_their_latency_and_need_no_first_token():
    nothing = {"first_token_ns": None, "last_token_ns": None, "chunk_offsets_ns": [], "chunk_tokens": []}
    rows = [{**row, **nothing} for row in healthy()]
    run, requests = manifest([measurement(len(rows))]), table(rows)
    run = dataclasses.replace(run, points=[dataclasses.replace(run.points[0], streamed=False)])
    assert judge(run, requests, summarise(run, requests))["p"] == Validity("VALID", [])
    busy = dataclasses.replace(run.measurements[0].workers[0], loop_lag_ns_p99=10_000_000)
    lagging = dataclasses.replace(run, measurements=[dataclasses.replace(run.measurements[0], workers=[busy])])
    (reason,) = judge(lagging, requests, summarise(lagging, requests))["p"].reasons
    assert (reason.code, "median request latency" in reason.message) == ("client_lag", True)
