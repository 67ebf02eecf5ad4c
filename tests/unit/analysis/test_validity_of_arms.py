"""Arms of a pair are judged apart; a few unusable repetitions are left out, more of them make the arm INVALID."""

from __future__ import annotations

import dataclasses

from harness.analysis.validity import UNUSABLE_REPETITIONS, judge
from harness.metrics.results import Validity
from harness.metrics.summary import summarise
from harness.records.manifest import Manifest
from tests.oracle.healthy import closed_loop
from tests.oracle.runs import Row, manifest, measurement, table

ENOUGH = 368
ARMS = ("baseline", "candidate")


def two_arms(pairs: int, asked: int | None = None) -> tuple[Manifest, list[Row]]:
    """Healthy repetitions 0 to `pairs` - 1 of both arms."""
    rows, measured = [], []
    for arm in ARMS:
        for number in range(pairs):
            rows += closed_loop(ENOUGH, arm=arm, repetition=number)
            measured.append(measurement(ENOUGH, arm=arm, repetition=number))
    run = manifest(measured, repetitions=asked or pairs)
    points = [dataclasses.replace(run.points[0], arm=arm) for arm in ARMS]
    return dataclasses.replace(run, points=points), rows


def broken(run: Manifest, arm: str, *numbers: int) -> Manifest:
    """These repetitions say that more records were expected than there are."""
    return dataclasses.replace(
        run,
        measurements=[
            dataclasses.replace(m, records_expected=m.records_expected + 1)
            if m.arm == arm and m.repetition in numbers
            else m
            for m in run.measurements
        ],
    )


def judged(run: Manifest, rows: list[Row]) -> dict[str, Validity]:
    requests = table(rows)
    return judge(run, requests, summarise(run, requests))


def test_each_arm_has_a_validity_of_its_own() -> None:
    run, rows = two_arms(2)
    found = judged(broken(run, "candidate", 0, 1), rows)
    assert found["p/baseline"] == Validity("VALID", [])
    assert found["p/candidate"].status == "INVALID"


def test_one_unusable_repetition_of_six_weakens_the_arm_and_is_named() -> None:
    run, rows = two_arms(6)
    found = judged(broken(run, "baseline", 4), rows)["p/baseline"]
    assert [(reason.code, reason.severity) for reason in found.reasons] == [(UNUSABLE_REPETITIONS, "SUSPECT")]
    assert "1 of 6 repetitions are not used: repetition 4: 368 records, 369 expected" in found.reasons[0].message


def test_more_than_a_third_unusable_make_the_arm_invalid_with_the_reasons_themselves() -> None:
    run, rows = two_arms(6)
    assert judged(broken(run, "baseline", 1, 4), rows)["p/baseline"].status == "INVALID"
    (reason,) = judged(broken(run, "baseline", 0, 1, 4), rows)["p/baseline"].reasons
    assert reason.code == "lost_records"


def test_pairs_still_to_be_measured_are_said_beside_unusable_ones() -> None:
    run, rows = two_arms(6, asked=10)
    found = judged(broken(run, "baseline", 4), rows)["p/baseline"]
    assert [reason.code for reason in found.reasons] == ["not_measured", UNUSABLE_REPETITIONS]
