"""Sessions, cancellations, timeouts, traced requests: every planned column that is more than a length."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from plan_scenarios import fixed, open_loop, scenario

from harness.plan.draw import draw
from harness.plan.files import with_files_read
from harness.plan.matrix import points
from harness.scenario.schema import Scenario
from harness.units import NS_PER_S

Rows = list[dict[str, Any]]
POISSON = {"process": "poisson", "request_rate_per_s": 5}
UNIFORM = {"distribution": "uniform", "min_tokens": 5, "max_tokens": 50}


def planned(of: Scenario) -> pa.Table:
    plan = draw(of, points(of, "d"))
    plan.validate(full=True)
    return plan


def chats(turns: Any = (2, 5), history: str = "planned", **other: Any) -> dict[str, Any]:
    low, high = turns
    sessions = {
        "turns": {"min_turns": low, "max_turns": high},
        "new_input_tokens": UNIFORM,
        "think_time_s": {"distribution": "exponential", "mean_s": 2, "max_s": 6},
        "history": history,
    }
    return {"name": "chat", "input_tokens": UNIFORM, "output_tokens": UNIFORM, "sessions": sessions, **other}


def sessions_of(plan: pa.Table) -> list[Rows]:
    rows = [row for row in plan.to_pylist() if row["session_id"] is not None]
    return [list(turns) for _, turns in groupby(rows, key=lambda row: (row["point_id"], row["session_id"]))]


def test_the_turns_of_a_session_follow_one_another_under_the_index_of_the_first() -> None:
    plan = planned(open_loop(POISSON, chats()))
    for turns in sessions_of(plan):
        first = turns[0]["index"]
        assert [row["index"] for row in turns] == list(range(first, first + len(turns)))
        assert [row["turn"] for row in turns] == list(range(len(turns)))
        assert {row["session_id"] for row in turns} == {str(first)}
        assert len({(row["prompt_seed"], tuple(row["prefix_ids"] or ())) for row in turns}) == 1


def test_sessions_have_every_number_of_turns_equally_often() -> None:
    counts = np.bincount([len(turns) for turns in sessions_of(planned(open_loop(POISSON, chats((1, 4)))))])
    assert counts[0] == 0
    assert len(counts) == 5
    assert counts[1:] == pytest.approx(counts.sum() / 4, rel=0.25)


def test_a_prompt_is_all_that_was_said_before_and_the_new_text() -> None:
    for turns in sessions_of(planned(open_loop(POISSON, chats(history="reply")))):
        said = 0
        for row in turns:
            new = row["input_tokens"] if row["turn"] == 0 else row["new_input_tokens"]
            assert 5 <= new <= 50
            assert row["input_tokens"] == said + new
            said = row["input_tokens"] + row["output_tokens"]


def test_only_the_first_turn_has_an_instant_and_only_later_ones_think() -> None:
    plan = planned(open_loop(POISSON, chats()))
    for row in plan.to_pylist():
        first = row["turn"] == 0
        assert (row["intended_offset_ns"] is None) == (not first)
        assert (row["phase"] is None) == (not first)
        assert (row["think_time_ns"] is None) == first
    thinking = plan["think_time_ns"].drop_null().to_numpy() / NS_PER_S
    assert thinking.max() == 6
    assert thinking.mean() == pytest.approx(2 * (1 - np.exp(-3)), rel=0.12)  # the mean of min(exponential, 6)


def test_new_text_is_named_only_where_the_real_reply_is_repeated() -> None:
    assert planned(open_loop(POISSON, chats()))["new_input_tokens"].null_count == len(
        planned(open_loop(POISSON, chats()))
    )
    for row in planned(open_loop(POISSON, chats(history="reply"))).to_pylist():
        assert (row["new_input_tokens"] is None) == (row["turn"] == 0)


def test_single_requests_beside_sessions_have_no_session() -> None:
    workload = {"name": "both", "parts": [chats(), {**fixed("one", 9), "weight": 2}]}
    plan = planned(open_loop(POISSON, workload))
    one = plan.filter(pc.field("workload_part") == "one")
    assert {name: one[name].null_count for name in ("session_id", "turn", "think_time_ns", "new_input_tokens")} == {
        name: len(one) for name in ("session_id", "turn", "think_time_ns", "new_input_tokens")
    }
    arrivals = plan.filter(pc.is_valid(pc.field("intended_offset_ns")))
    share = pc.mean(pc.equal(arrivals["workload_part"], "one").cast(pa.float64())).as_py()
    assert share == pytest.approx(2 / 3, abs=4 * np.sqrt(2 / 9 / len(arrivals)))


def test_a_closed_loop_numbers_sessions_too_and_may_cut_the_last() -> None:
    plan = planned(scenario(chats((3, 3)), [2], max_requests=100))
    assert plan["intended_offset_ns"].null_count == plan["phase"].null_count == 100
    assert [len(turns) for turns in sessions_of(plan)] == [3] * 33 + [1]


def test_rates_of_one_scenario_hold_the_same_sessions() -> None:
    of = open_loop({"process": "poisson", "request_rate_per_s": [2, 4]}, chats())
    plan = planned(of)
    slow, fast = (plan.filter(pc.field("point_id") == f"chat-r{rate}") for rate in (2, 4))
    same = ["turn", "input_tokens", "output_tokens", "prompt_seed", "think_time_ns", "timeout_ns"]
    assert fast.select(same).slice(0, 100).to_pydict() == slow.select(same).slice(0, 100).to_pydict()


def test_a_share_of_the_requests_is_cancelled_after_tokens() -> None:
    part = {**fixed("all", 9, 40), "cancel": {"share": 0.25, "after_tokens": UNIFORM}}
    plan = planned(scenario(part, [1], max_requests=20_000))
    tokens = plan["cancel_after_tokens"].drop_null().to_numpy()
    assert (tokens.min(), tokens.max()) == (5, 39)  # from 40 on the answer is complete: nothing to cancel
    assert len(tokens) / 20_000 == pytest.approx(0.25 * 35 / 46, abs=0.01)
    assert plan["cancel_after_ns"].null_count == 20_000


def test_a_share_of_the_requests_is_cancelled_after_a_time() -> None:
    after = {"distribution": "uniform", "min_s": 0.1, "max_s": 0.3}
    plan = planned(scenario({**fixed("all", 9), "cancel": {"share": 0.5, "after_s": after}}, [1], max_requests=4000))
    times = plan["cancel_after_ns"].drop_null().to_numpy() / NS_PER_S
    assert len(times) / 4000 == pytest.approx(0.5, abs=0.04)
    assert times.min() == pytest.approx(0.1, abs=0.001)
    assert times.max() == pytest.approx(0.3, abs=0.001)
    assert plan["cancel_after_tokens"].null_count == 4000


def test_lengths_of_later_turns_and_cancellations_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text("tokens\n3\n4\n")
    lengths = {"distribution": "empirical", "file": str(tmp_path / "lengths.csv"), "column": "tokens"}
    sessions = {"turns": 2, "new_input_tokens": lengths}
    part = {**fixed("all", 9, 40), "sessions": sessions, "cancel": {"share": 1, "after_tokens": lengths}}
    plan = planned(with_files_read(scenario(part, [1])))
    assert set(plan["cancel_after_tokens"].to_pylist()) == {3, 4}
    assert set(plan["input_tokens"].to_pylist()) == {9, 9 + 40 + 3, 9 + 40 + 4}


def test_timeouts_are_of_the_part_or_of_the_scenario() -> None:
    longer = {"distribution": "lognormal", "median_s": 20, "sigma": 0.5, "max_s": 60}
    parts = [fixed("plain", 9), {**fixed("short", 9), "timeout_s": 2.5}, {**fixed("spread", 9), "timeout_s": longer}]
    of = scenario({"name": "three", "parts": parts}, [1], max_requests=6000, request={"timeout_s": 9})
    plan = planned(of)
    seconds = {
        part["name"]: plan.filter(pc.field("workload_part") == part["name"])["timeout_ns"].to_numpy() / NS_PER_S
        for part in parts
    }
    assert set(seconds["plain"]) == {9}
    assert set(seconds["short"]) == {2.5}
    assert np.median(seconds["spread"]) == pytest.approx(20, rel=0.05)
    assert seconds["spread"].max() == 60
    assert of.drain_limit_s == 60


def test_a_share_of_the_requests_is_traced() -> None:
    plan = planned(scenario(fixed("all", 9), [1], max_requests=10_000, request={"trace_share": 0.1}))
    assert pc.sum(plan["traced"]).as_py() / 10_000 == pytest.approx(0.1, abs=0.012)


def test_a_hit_ratio_is_the_share_of_prompts_with_a_shared_beginning() -> None:
    prompts = {"kind": "shared_prefix", "prefixes": 4, "prefix_tokens": 50, "hit_ratio": 0.7}
    part = {**fixed("all", 90), "prompts": prompts}
    plan = planned(scenario(part, [1], max_requests=10_000))
    assert 1 - plan["prefix_ids"].null_count / 10_000 == pytest.approx(0.7, abs=0.02)
    whole = planned(scenario({**part, "prompts": {**prompts, "hit_ratio": 1.0}}, [1], max_requests=10_000))
    hit, always = plan["prefix_ids"].to_pylist(), whole["prefix_ids"].to_pylist()
    assert all(one is None or one == other for one, other in zip(hit, always, strict=True))


def test_switching_these_on_changes_no_other_column() -> None:
    plain = planned(scenario(fixed("all", 9, 40), [1]))
    extra = {"cancel": {"share": 0.5, "after_tokens": 3}, "timeout_s": 7}
    changed = planned(scenario({**fixed("all", 9, 40), **extra}, [1], request={"trace_share": 0.5}))
    different = {name for name in plain.column_names if not plain[name].equals(changed[name])}
    assert different == {"cancel_after_tokens", "timeout_ns", "traced"}
