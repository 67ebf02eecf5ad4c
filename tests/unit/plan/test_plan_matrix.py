"""Points and their order."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from plan_scenarios import MIX, fixed, open_loop, scenario

from harness.errors import UsageError
from harness.plan.matrix import MOST_REQUEST_BYTES, MOST_REQUESTS, order, points
from harness.plan.sequence import draw_sequence


def test_every_workload_meets_every_concurrency() -> None:
    made = points(scenario([fixed("short", 16), fixed("long", 900)], (1, 4, 16), repetitions=3), "cpu-tiny")
    assert [point.point_id for point in made] == ["short-c1", "short-c4", "short-c16", "long-c1", "long-c4", "long-c16"]
    assert [point.concurrency for point in made] == [1, 4, 16, 1, 4, 16]
    assert {(point.deployment_id, point.repetitions, point.load_kind) for point in made} == {
        ("cpu-tiny", 3, "closed_loop")
    }


def test_point_ids_are_unique_and_safe_in_file_names() -> None:
    ids = [p.point_id for p in points(scenario([fixed("a", 16), fixed("a-c1", 16), fixed("a.b_c", 9)], (1, 11)), "d")]
    assert len(set(ids)) == len(ids) == 6
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) for name in ids)


def test_the_means_of_a_point_are_those_of_its_planned_sequence() -> None:
    planned = scenario(MIX, max_requests=500)
    sequence = draw_sequence(planned.workload[0], planned.seed, 500)
    for point in points(planned, "d"):
        assert point.input_tokens_mean == pytest.approx(sequence.input_tokens.mean())
        assert point.output_tokens_mean == pytest.approx(sequence.output_tokens.mean())


def test_max_requests_of_the_scenario_is_obeyed() -> None:
    assert {point.max_requests for point in points(scenario(max_requests=77), "d")} == {77}


def test_short_requests_are_bounded_by_number_long_ones_by_bytes() -> None:
    short, long = points(scenario([fixed("short", 16), fixed("long", 8000)], [1], max_requests=None), "d")
    assert short.max_requests == MOST_REQUESTS
    assert long.max_requests is not None
    assert 0.7 * MOST_REQUEST_BYTES < long.max_requests * 8000 * 7 <= MOST_REQUEST_BYTES


def test_even_a_prompt_above_the_byte_bound_is_planned_once() -> None:
    (huge,) = points(scenario(fixed("huge", 2**29), [1], max_requests=None), "d")
    assert huge.max_requests == 1


def test_the_order_visits_every_point_once_in_every_repetition() -> None:
    made = points(scenario([fixed("short", 16), fixed("long", 900)], (1, 4, 16)), "d")
    visited = [(point.point_id, repetition) for point, repetition in order(made, 4, seed=1)]
    assert Counter(visited) == Counter((point.point_id, repetition) for point in made for repetition in range(4))
    assert [repetition for _, repetition in visited] == sorted(repetition for _, repetition in visited)


def test_the_order_follows_from_the_seed_and_differs_between_repetitions() -> None:
    made = points(scenario(fixed("short", 16), range(1, 9)), "d")
    first = order(made, 2, seed=1)
    assert first == order(made, 2, seed=1)
    assert first != order(made, 2, seed=2)
    assert [point for point, _ in first[:8]] != [point for point, _ in first[8:]]


def test_every_point_comes_first_about_equally_often() -> None:
    made = points(scenario(fixed("short", 16), (1, 2, 3, 4)), "d")
    firsts = Counter(point.concurrency for point, _ in order(made, 4000, seed=3)[::4])
    assert all(abs(count - 1000) < 130 for count in firsts.values())  # 4 sigma is 110


def test_every_request_rate_is_a_point() -> None:
    made = points(open_loop({"process": "poisson", "request_rate_per_s": [2, 0.5, 16.25]}, repetitions=2), "d")
    assert [point.point_id for point in made] == ["mix-r2", "mix-r0.5", "mix-r16.25"]
    assert [point.request_rate_per_s for point in made] == [2, 0.5, 16.25]
    assert {(point.load_kind, point.concurrency, point.repetitions) for point in made} == {("open_loop", None, 2)}


@pytest.mark.parametrize(
    ("arrivals", "level", "rate"),
    [
        ({"process": "ramp", "from_request_rate_per_s": 2, "to_request_rate_per_s": 6}, "ramp", 4),
        ({"process": "steps", "request_rate_per_s": [2, 10, 3], "step_s": 10}, "steps", 5),
        ({"process": "steps", "request_rate_per_s": [2, 10], "step_s": 10}, "steps", (20 + 200) / 30),
    ],
)
def test_a_process_without_levels_is_one_point_with_the_mean_rate_of_its_window(
    arrivals: dict[str, object], level: str, rate: float
) -> None:
    (made,) = points(open_loop(arrivals), "d")
    assert made.point_id == f"mix-{level}"
    assert made.request_rate_per_s == pytest.approx(rate)


def test_a_plan_that_no_memory_could_hold_is_refused_with_what_to_change() -> None:
    huge = open_loop({"process": "constant", "request_rate_per_s": 1000}, fixed("huge", 4000))
    with pytest.raises(UsageError, match=r"huge-r1000: .* GiB, more than 1.0 GiB") as refused:
        points(huge, "d")
    assert "phases.drain_limit_s" in str(refused.value.hint)
    with pytest.raises(UsageError, match="more than 1,000,000"):
        points(open_loop({"process": "poisson", "request_rate_per_s": 10_000}), "d")
