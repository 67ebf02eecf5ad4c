"""Arms of a pair: the same plan but for the arm's name, measured in an order that is drawn and balanced."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.plan.arms import in_arms, judged_point, order_of_arms, planned_in_window
from harness.plan.draw import draw
from harness.plan.matrix import points
from harness.plan.nonce import PromptKey, nonce
from harness.scenario.schema import Scenario

ARMS = ("baseline", "candidate")


def scenario(concurrency: int | list[int] = 2, **gate: object) -> Scenario:
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "t",
            "target": {"engine": "cpu-tiny"},
            "workload": {
                "input_tokens": {"distribution": "uniform", "min_tokens": 8, "max_tokens": 64},
                "output_tokens": 8,
            },
            "load": {"kind": "closed_loop", "concurrency": concurrency, "max_requests": 50},
            "gate": gate,
        }
    )


def test_both_arms_ask_the_same_in_the_same_order_but_never_the_same_prompt() -> None:
    one = scenario()
    table = draw(one, in_arms(points(one, "d")[0], {"baseline": "a", "candidate": "b"}, 3))
    rows = table.to_pylist()
    halves = {arm: [r for r in rows if r["arm"] == arm] for arm in ARMS}
    asked = {arm: [{**r, "arm": None} for r in own] for arm, own in halves.items()}
    assert len(halves["baseline"]) == 150
    assert asked["baseline"] == asked["candidate"]
    prompts = {tuple(nonce("request", PromptKey("salt", 1, "p", arm, 0, 0), 0, 512, 7)) for arm in ARMS}
    assert len(prompts) == 2


def test_the_order_is_seeded_and_of_two_pairs_in_a_row_each_arm_begins_one() -> None:
    for seed in range(20):
        first = [order_of_arms(ARMS, pair, seed)[0] for pair in range(16)]
        assert first == [order_of_arms(ARMS, pair, seed)[0] for pair in range(16)]
        assert all({first[pair], first[pair + 1]} == set(ARMS) for pair in range(0, 16, 2))
    begins = {order_of_arms(ARMS, 0, seed)[0] for seed in range(20)}
    later = {tuple(order_of_arms(ARMS, pair, 1)[0] for pair in (block, block + 1)) for block in range(0, 40, 2)}
    assert begins == set(ARMS)
    assert len(later) == 2


def test_the_only_point_is_judged_and_of_several_the_named_one() -> None:
    assert judged_point(scenario(), points(scenario(), "d")).point_id == "all-c2"
    several = scenario([1, 4], point="all-c4")
    assert judged_point(several, points(several, "d")).point_id == "all-c4"


@pytest.mark.parametrize("gate", [{}, {"point": "all-c2"}])
def test_without_a_known_point_the_points_are_listed(gate: dict[str, str]) -> None:
    several = scenario([1, 4], **gate)
    with pytest.raises(UsageError) as raised:
        judged_point(several, points(several, "d"))
    assert "all-c1, all-c4" in str(raised.value)


def test_the_requests_of_a_window_are_counted_in_the_plan_of_one_arm() -> None:
    closed = scenario()
    assert planned_in_window(closed, points(closed, "d")[0], draw(closed, points(closed, "d"))) is None
    arrivals = {"kind": "open_loop", "arrivals": {"process": "constant", "request_rate_per_s": 5}}
    phases = {"warm_up_s": 1, "window_s": 8, "drain_limit_s": 2}
    plain = closed.model_dump(mode="json", exclude={"load", "phases", "workload"})
    work = {"input_tokens": 16, "output_tokens": 8}
    paced = Scenario.model_validate({**plain, "load": arrivals, "phases": phases, "workload": work})
    arms = in_arms(points(paced, "d")[0], {"baseline": "a", "candidate": "b"}, 2)
    assert planned_in_window(paced, arms[1], draw(paced, arms)) == 40
