"""How long a sweep still takes: against a simulated sweep whose end is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.campaigns.pace import ASSUMED_START_S, Pace
from harness.plan import matrix
from harness.plan.estimate import estimate
from harness.scenario import loader

START_S, STOP_S, REPETITION_S = 7.0, 2.0, 11.0
SCENARIO = """\
version: 1
name: short
target: {engine: cpu-tiny}
workload: {input_tokens: 16, output_tokens: 8}
load: {kind: closed_loop, concurrency: [1, 4], max_requests: 200}
repetitions: 2
"""


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _go_through(sessions: list[int], failing: int | None = None) -> list[tuple[float, float]]:
    """(seconds until the end as told, and as they came) after each repetition."""
    clock = Clock()
    pace, told = Pace(now=clock), []
    left = [sum(count for n, count in enumerate(sessions) if n != failing), len(sessions)]
    for number, repetitions in enumerate(sessions):
        pace.starting()
        clock.now_s += START_S
        left[1] -= 1
        if number != failing:
            pace.started()
            for _ in range(repetitions):
                clock.now_s += REPETITION_S
                pace.measured()
                left[0] -= 1
                told.append((pace.left_s(left[0], left[1]), clock.now_s))
        clock.now_s += STOP_S
        pace.stopped()
    return [(seconds or 0.0, clock.now_s - at) for seconds, at in told]


def test_the_remaining_time_is_right_where_every_start_and_repetition_takes_the_same() -> None:
    for told, came in _go_through([4, 3, 3, 1]):
        assert told == pytest.approx(came, abs=STOP_S * 4), "of stopping, only what was seen is known"
    told, came = _go_through([4, 3, 3, 1])[6]
    assert told == pytest.approx(came, rel=0.1)


def test_a_deployment_that_does_not_start_costs_its_time_too() -> None:
    told, came = _go_through([2, 2, 2, 2, 2], failing=1)[4]
    assert told == pytest.approx(came, rel=0.1)


def test_before_the_first_repetition_nothing_is_known() -> None:
    assert Pace().left_s(10, 2) is None


def test_what_is_left_beforehand_is_a_share_of_the_whole_and_the_starts() -> None:
    scenario = loader.load_text(SCENARIO, Path("short.yaml")).scenario
    points = matrix.points(scenario, "cpu-tiny")
    whole = estimate(scenario, points).total_s
    assert Pace.beforehand_s(scenario, points, 3) == pytest.approx(whole + 3 * ASSUMED_START_S)
    assert Pace.beforehand_s(scenario, points, 1, 0.25) == pytest.approx(whole / 4 + ASSUMED_START_S)
