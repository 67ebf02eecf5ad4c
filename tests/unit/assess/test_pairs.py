"""Pairs out of a run with two arms: which are there, what they hold, and which cannot be used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.analysis.evidence import Beside
from harness.assess.pairs import pairs_of_tables
from harness.gate.pairs import BASELINE, CANDIDATE, Pair
from harness.metrics.results import POINT_VALUE
from harness.records.manifest import Manifest, Measurement
from harness.scenario.loader import read_back
from tests.oracle.healthy import closed_loop, failing
from tests.oracle.runs import Row, at, manifest, measurement, table

N = 100
ARMS = (BASELINE, CANDIDATE)


def half(arm: str, number: int, starts_ms: float, **changes: object) -> Measurement:
    return measurement(N, **{"arm": arm, "repetition": number, "start_ns": at(starts_ms), **changes})


def run_of(measured: list[Measurement]) -> Manifest:
    run = manifest(measured)
    return dataclasses.replace(run, points=[dataclasses.replace(run.points[0], arm=arm) for arm in ARMS])


def rows_of(measured: list[Measurement], **candidate: object) -> list[Row]:
    found: list[Row] = []
    for m in measured:
        found += closed_loop(N, arm=m.arm, repetition=m.repetition, **(candidate if m.arm == CANDIDATE else {}))
    return found


def pairs(measured: list[Measurement], rows: list[Row]) -> list[Pair]:
    run = run_of(measured)
    scenario = read_back(run.scenario_text, Path(run.scenario_file))
    return pairs_of_tables(run, scenario, table(rows), Beside())


def test_a_pair_holds_the_values_of_both_halves_and_who_came_first() -> None:
    measured = [half(CANDIDATE, 0, 0), half(BASELINE, 0, 50), half(BASELINE, 1, 100), half(CANDIDATE, 1, 150)]
    found = pairs(measured, rows_of(measured))
    assert [(pair.index, pair.first, pair.invalid) for pair in found] == [(0, CANDIDATE, ()), (1, BASELINE, ())]
    key = ("time_to_first_token", "p95")
    assert found[0].baseline[key].value == found[0].candidate[key].value is not None
    assert (found[0].baseline_ok, found[0].candidate_ok) == (N, N)


def test_a_pair_whose_second_half_was_broken_off_is_not_there() -> None:
    cut = half(CANDIDATE, 1, 150, complete=False, ended="interrupted")
    measured = [half(BASELINE, 0, 0), half(CANDIDATE, 0, 50), half(BASELINE, 1, 100), cut]
    assert [pair.index for pair in pairs(measured, rows_of(measured))] == [0]


def test_an_invalid_half_makes_its_pair_unusable_and_no_other() -> None:
    lost = half(BASELINE, 1, 100, records_expected=N + 1)
    measured = [half(BASELINE, 0, 0), half(CANDIDATE, 0, 50), lost, half(CANDIDATE, 1, 150)]
    first, second = pairs(measured, rows_of(measured))
    assert first.invalid == ()
    assert second.invalid == ("baseline is INVALID: 100 records, 101 expected",)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_that_answers_nothing_is_the_candidates_own_doing_and_the_baselines_end(arm: str) -> None:
    measured = [half(BASELINE, 0, 0), half(CANDIDATE, 0, 50)]
    rows = [row for m in measured for row in _answering(m, dead=m.arm == arm)]
    (pair,) = pairs(measured, rows)
    assert (pair.baseline_ok, pair.candidate_ok) == ((0, N) if arm == BASELINE else (N, 0))
    assert bool(pair.invalid) == (arm == BASELINE)
    assert getattr(pair, arm)["output_token_throughput", POINT_VALUE].value == 0


def test_a_candidate_that_answers_shorter_than_asked_is_judged_not_invalid() -> None:
    measured = [half(BASELINE, 0, 0), half(CANDIDATE, 0, 50)]
    short = {"output_tokens_asked": 8}
    (pair,) = pairs(measured, rows_of(measured, **short))
    assert pair.invalid == ()


def _answering(m: Measurement, *, dead: bool) -> list[Row]:
    rows = closed_loop(N, arm=m.arm, repetition=m.repetition)
    return failing(rows, N) if dead else rows
