"""The plan table."""

from __future__ import annotations

import inspect
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from plan_scenarios import MIX, fixed, scenario

from harness.errors import UsageError
from harness.plan.body import SLOTS
from harness.plan.draw import draw
from harness.plan.matrix import points
from harness.plan.prefix import prefix_number, prefix_tokens
from harness.plan.sequence import draw_sequence
from harness.records.manifest import Point
from harness.records.schemas import PLAN
from harness.scenario.schema import Scenario

SHARED = ["index", "workload_part", "input_tokens", "output_tokens", "prompt_seed", "prefix_ids"]


def planned(of: Scenario) -> pa.Table:
    return draw(of, points(of, "d"))


def rows_of(plan: pa.Table, point_id: str, repetition: int) -> pa.Table:
    return plan.filter((pc.field("point_id") == point_id) & (pc.field("repetition") == repetition))


def parquet(plan: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(plan, file)
    return file.getvalue()


def test_the_plan_has_the_schema_and_a_numbered_sequence_per_point_and_repetition() -> None:
    plan = planned(scenario(repetitions=2))
    assert plan.schema.equals(PLAN)
    plan.validate(full=True)
    assert plan.num_rows == 2 * 2 * 200
    for point_id in ("mix-c1", "mix-c4"):
        for repetition in (0, 1):
            assert rows_of(plan, point_id, repetition)["index"].to_pylist() == list(range(200))


def test_what_a_closed_loop_cannot_know_is_null() -> None:
    plan = planned(scenario(request={"timeout_s": 1.5}))
    for name in ("phase", "intended_offset_ns", "arm", "session_id", "turn", "think_time_ns", "cancel_after_tokens"):
        assert plan[name].null_count == plan.num_rows
    assert plan["timeout_ns"].unique().to_pylist() == [1_500_000_000]
    assert plan["tenant"].unique().to_pylist() == ["default"]


def test_concurrency_levels_and_repetitions_share_lengths_order_and_slots() -> None:
    plan = planned(scenario(repetitions=2))
    sequences = [
        rows_of(plan, point_id, repetition).select(SHARED).to_pydict()
        for point_id in ("mix-c1", "mix-c4")
        for repetition in (0, 1)
    ]
    assert all(sequence == sequences[0] for sequence in sequences[1:])


def test_arms_share_them_too() -> None:
    of = scenario()
    point = points(of, "d")[0]
    plan = draw(of, [replace(point, arm="baseline"), replace(point, arm="candidate")])
    arms = [plan.filter(pc.field("arm") == arm).select(SHARED).to_pydict() for arm in ("baseline", "candidate")]
    assert arms[0] == arms[1]


def test_a_longer_sequence_begins_with_the_shorter_one() -> None:
    few, many = (rows_of(planned(scenario(max_requests=n)), "mix-c1", 0).select(SHARED) for n in (50, 400))
    assert many.slice(0, 50).to_pydict() == few.to_pydict()


def test_the_same_seed_gives_the_same_plan_bytes_and_another_seed_another_plan() -> None:
    assert parquet(planned(scenario(seed=4))) == parquet(planned(scenario(seed=4)))
    assert parquet(planned(scenario(seed=4))) != parquet(planned(scenario(seed=5)))


def test_the_salt_has_no_way_into_the_plan() -> None:
    """The plan is a function of scenario, points and a number that only checks; none of them carries a salt."""
    assert list(inspect.signature(draw).parameters) == ["scenario", "points", "special_tokens"]
    assert not {name for name in Point.__dataclass_fields__ if "salt" in name}
    of = scenario()
    assert parquet(draw(of, points(of, "d"), special_tokens=2)) == parquet(draw(of, points(of, "d")))


def test_parts_are_chosen_by_weight() -> None:
    sequence = draw_sequence(scenario(MIX).workload[0], 1, 40_000)
    assert (sequence.part == 0).mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 40_000))


def test_changing_one_part_leaves_the_lengths_of_the_other_alone() -> None:
    shorter = {**MIX, "parts": [MIX["parts"][0], {**MIX["parts"][1], "input_tokens": 700}]}  # type: ignore[index,dict-item]
    one, other = (draw_sequence(scenario(workload).workload[0], 1, 500) for workload in (MIX, shorter))
    chat = one.part == 0
    assert one.part.tolist() == other.part.tolist()
    assert one.input_tokens[chat].tolist() == other.input_tokens[chat].tolist()


def test_every_part_has_the_lengths_it_asks_for() -> None:
    for row in planned(scenario()).to_pylist():
        if row["workload_part"] == "search":
            assert 600 <= row["input_tokens"] <= 900
            assert row["output_tokens"] == 16
        else:
            assert 1 <= row["input_tokens"] <= 2000
            assert 1 <= row["output_tokens"] <= 200


def test_shared_prefixes_are_used_evenly_and_unique_prompts_have_none() -> None:
    plan = planned(scenario(max_requests=4000, concurrency=[1]))
    ids = {
        part: plan.filter(pc.field("workload_part") == part)["prefix_ids"].to_pylist() for part in ("chat", "search")
    }
    assert set(ids["chat"]) == {None}
    numbers = [prefix_number(identity) for (identity,) in ids["search"]]
    assert {prefix_tokens(identity) for (identity,) in ids["search"]} == {512}
    assert np.bincount(numbers, minlength=4) == pytest.approx(len(numbers) / 4, rel=0.2)


def test_parts_of_a_workload_share_no_prefix_with_each_other() -> None:
    shared = {
        "input_tokens": 100,
        "output_tokens": 4,
        "prompts": {"kind": "shared_prefix", "prefixes": 3, "prefix_tokens": 50},
    }
    workload = {"name": "two", "parts": [{"name": "a", **shared}, {"name": "b", **shared}]}
    plan = planned(scenario(workload))
    used = [
        set(plan.filter(pc.field("workload_part") == part)["prefix_ids"].combine_chunks().flatten().to_pylist())
        for part in "ab"
    ]
    assert [len(one) for one in used] == [3, 3]
    assert not used[0] & used[1]


def test_more_parts_than_numpy_can_choose_from_are_planned() -> None:
    parts = [{"name": f"p{number}", "input_tokens": number + 1, "output_tokens": 1} for number in range(70)]
    plan = planned(scenario({"name": "many", "parts": parts}, max_requests=3000, concurrency=[1]))
    assert all(row["workload_part"] == f"p{row['input_tokens'] - 1}" for row in plan.to_pylist())
    assert len(plan["workload_part"].unique()) == 70


def test_slots_are_small_numbers() -> None:
    slots = planned(scenario(max_requests=5000, concurrency=[1]))["prompt_seed"].to_numpy()
    assert (slots.min(), slots.max()) == (0, SLOTS - 1)


def test_prompts_shorter_than_the_special_tokens_allow_are_refused_with_the_length_that_works() -> None:
    of = scenario(fixed("tiny", 2))
    assert draw(of, points(of, "d"), special_tokens=1).num_rows == 400
    with pytest.raises(UsageError, match=r"workload tiny, part all: 200 of 200 .* shorter than 3 tokens") as refused:
        draw(of, points(of, "d"), special_tokens=2)
    assert "min_tokens: 3" in str(refused.value.hint)


def test_a_long_plan_stays_small_on_disk() -> None:
    of = scenario(concurrency=[1, 4], max_requests=100_000)
    file = io.BytesIO()
    pq.write_table(planned(of), file, row_group_size=50_000, compression="zstd")
    assert len(file.getvalue()) / 200_000 < 12


def test_input_lengths_output_lengths_and_slots_have_nothing_to_do_with_each_other() -> None:
    lengths = {"distribution": "uniform", "min_tokens": 1, "max_tokens": 1000}
    sequence = draw_sequence(scenario({"input_tokens": lengths, "output_tokens": lengths}).workload[0], 1, 40_000)
    columns = np.corrcoef([sequence.input_tokens, sequence.output_tokens, sequence.prompt_seed])
    assert np.abs(columns - np.eye(3)).max() < 4 / np.sqrt(40_000)
