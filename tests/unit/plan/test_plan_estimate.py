"""How long a run takes."""

from __future__ import annotations

import pytest
from plan_scenarios import fixed, scenario

from harness.plan.estimate import OVERHEAD_S, assumed_request_s, estimate, estimate_point
from harness.plan.matrix import points
from harness.scenario.schema import Scenario


def of_one_point(**other: object) -> tuple[Scenario, float]:
    of = scenario(fixed("all", 200, 60), [2], **{"max_requests": None, **other})  # type: ignore[arg-type]
    return of, assumed_request_s(points(of, "d")[0])


def test_warm_up_window_and_drain_of_every_repetition_are_counted() -> None:
    of, request_s = of_one_point(repetitions=3, phases={"warm_up_s": 7, "window_s": 20})
    whole = estimate(of, points(of, "d"))
    assert (whole.warm_up_s, whole.window_s, whole.overhead_s) == (21, 60, 3 * OVERHEAD_S)
    assert whole.drain_s == pytest.approx(3 * request_s)
    assert whole.total_s == whole.warm_up_s + whole.window_s + whole.drain_s + whole.overhead_s


def test_a_short_warm_up_still_lasts_two_requests_per_user() -> None:
    of, request_s = of_one_point(phases={"warm_up_s": 0, "window_s": 20})
    assert estimate(of, points(of, "d")).warm_up_s == pytest.approx(2 * request_s)


def test_a_window_in_requests_lasts_as_long_as_they_take() -> None:
    of, request_s = of_one_point(phases={"window_requests": 40})
    assert estimate(of, points(of, "d")).window_s == pytest.approx(40 / 2 * request_s)


def test_a_drain_limit_bounds_the_drain() -> None:
    of, request_s = of_one_point(phases={"drain_limit_s": 0.5})
    assert request_s > 0.5
    assert estimate(of, points(of, "d")).drain_s == 0.5


def test_a_sequence_that_is_used_up_ends_the_point_early() -> None:
    of, _ = of_one_point(max_requests=4, phases={"warm_up_s": 5, "window_s": 30})
    whole = estimate(of, points(of, "d"))
    assert whole.requests == pytest.approx(4)
    assert whole.total_s < 5 + OVERHEAD_S


def test_a_run_lasts_as_long_as_its_points_together() -> None:
    of = scenario([fixed("short", 16), fixed("long", 900)], repetitions=2)
    made = points(of, "d")
    assert estimate(of, made).total_s == pytest.approx(sum(estimate_point(of, point).total_s for point in made))
