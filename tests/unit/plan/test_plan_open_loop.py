"""Open-loop rows: instants, phases, tenants, recorded lengths and blocks."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from plan_scenarios import fixed, open_loop, scenario, tenants

from harness.errors import UsageError
from harness.plan.blocks import OWN_TOKENS
from harness.plan.draw import draw
from harness.plan.files import prompt_files, with_files_read
from harness.plan.matrix import points
from harness.plan.prefix import prefix_tokens
from harness.plan.prompts import PromptKey, PromptSource
from harness.records.schemas import PLAN
from harness.scenario.schema import Scenario
from harness.units import NS_PER_S

CONSTANT = {"process": "constant", "request_rate_per_s": 4}
RECORDED = {"distribution": "recorded"}


def planned(of: Scenario) -> pa.Table:
    read = with_files_read(of)
    plan = draw(read, points(read, "d"))
    plan.validate(full=True)
    return plan


def test_an_open_loop_has_an_instant_and_a_phase_for_every_request_up_to_the_drain_limit() -> None:
    plan = planned(open_loop(CONSTANT, phases={"warm_up_s": 2, "window_s": 5, "drain_limit_s": 3}))
    assert plan.schema.equals(PLAN)
    offsets = plan["intended_offset_ns"].to_numpy()
    assert offsets.tolist() == [number * NS_PER_S // 4 for number in range(40)]
    assert plan["phase"].to_pylist() == ["warm_up"] * 8 + ["window"] * 20 + ["drain"] * 12
    assert plan["index"].to_pylist() == list(range(40))
    assert plan["tenant"].unique().to_pylist() == ["default"]


def test_without_a_drain_limit_the_plan_reaches_to_the_longest_timeout() -> None:
    longer = {**fixed("all", 9), "timeout_s": {"distribution": "uniform", "min_s": 1, "max_s": 20}}
    plan = planned(open_loop(CONSTANT, longer, phases={"warm_up_s": 0, "window_s": 5}, request={"timeout_s": 1}))
    assert plan.num_rows == 4 * 25


def test_repetitions_share_arrivals_and_everything_else() -> None:
    plan = planned(open_loop({"process": "poisson", "request_rate_per_s": 3}, repetitions=2))
    one, other = (plan.filter(pc.field("repetition") == repetition).drop_columns("repetition") for repetition in (0, 1))
    assert one.equals(other)


def test_open_and_closed_loops_ask_the_same_lengths_in_the_same_order() -> None:
    closed, opened = planned(scenario()), planned(open_loop({"process": "poisson", "request_rate_per_s": 3}))
    asked = ["workload_part", "input_tokens", "output_tokens", "prompt_seed", "prefix_ids"]
    assert opened.select(asked).slice(0, 200).to_pydict() == closed.select(asked).slice(0, 200).to_pydict()


def two_tenants(**bulk: Any) -> pa.Table:
    poisson = {"process": "poisson", "request_rate_per_s": 3}
    return planned(
        tenants(
            [
                {"name": "gold", "arrivals": poisson},
                {"name": "bulk", "arrivals": {**poisson, "request_rate_per_s": 9}, "parts": ["search"], **bulk},
            ]
        )
    )


def test_tenants_have_their_own_rates_and_parts_and_are_numbered_together_by_time() -> None:
    plan = two_tenants()
    assert plan["index"].to_pylist() == list(range(plan.num_rows))
    assert (np.diff(plan["intended_offset_ns"].to_numpy()) >= 0).all()
    rows = {name: plan.filter(pc.field("tenant") == name) for name in ("gold", "bulk")}
    for name, rate in (("gold", 3), ("bulk", 9)):
        assert rows[name].num_rows == pytest.approx(155 * rate, abs=4 * np.sqrt(155 * rate))
    assert set(rows["bulk"]["workload_part"].to_pylist()) == {"search"}
    assert set(rows["gold"]["workload_part"].to_pylist()) == {"chat", "search"}


def test_a_tenant_asks_the_same_whatever_the_others_do() -> None:
    one, other = (
        plan.filter(pc.field("tenant") == "gold").drop_columns(["index"])
        for plan in (two_tenants(), two_tenants(arrivals={"process": "constant", "request_rate_per_s": 1}))
    )
    assert one.equals(other)


def test_tenants_do_not_ask_in_step() -> None:
    each = [{"name": name, "arrivals": {"process": "poisson", "request_rate_per_s": 5}} for name in "ab"]
    plan = planned(tenants(each))
    one, other = (plan.filter(pc.field("tenant") == name) for name in "ab")
    assert one["input_tokens"].slice(0, 50).to_pylist() != other["input_tokens"].slice(0, 50).to_pylist()


def test_the_point_of_tenants_has_the_sum_of_their_rates() -> None:
    each = [
        {"name": "a", "arrivals": {"process": "poisson", "request_rate_per_s": 5}},
        {"name": "b", "arrivals": {"process": "ramp", "from_request_rate_per_s": 1, "to_request_rate_per_s": 3}},
    ]
    (point,) = points(tenants(each), "d")
    assert (point.point_id, point.request_rate_per_s) == ("mix-tenants", 7)


def test_a_window_without_requests_is_refused() -> None:
    with pytest.raises(UsageError, match="no request arrives in the window"):
        planned(open_loop({"process": "poisson", "request_rate_per_s": 1e-6}))


def azure(folder: Path, rows: int = 300) -> Path:
    draws = random.Random(1)
    lines, second = ["TIMESTAMP,ContextTokens,GeneratedTokens"], 0.0
    for _ in range(rows):
        lines.append(f"2024-05-10 00:00:{second:010.7f}+00:00,{draws.randint(1, 4000)},{draws.randint(1, 900)}")
        second += draws.random() * 0.3
    file = folder / "azure.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def trace(file: Path, workload: Any, **other: Any) -> Scenario:
    phases = other.pop("phases", {"warm_up_s": 1, "window_s": 20, "drain_limit_s": 10})
    return open_loop({"process": "trace", "file": str(file), **other}, workload, phases=phases)


def test_a_trace_gives_arrivals_and_both_lengths(tmp_path: Path) -> None:
    file = azure(tmp_path)
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    plan = planned(trace(file, {"input_tokens": RECORDED, "output_tokens": RECORDED}, time_scale=2.0))
    count = plan.num_rows
    assert count == 300
    assert plan["input_tokens"].to_pylist() == [int(row[1]) for row in rows]
    assert plan["output_tokens"].to_pylist() == [int(row[2]) for row in rows]
    seconds = [float(row[0][17:27]) for row in rows]
    assert plan["intended_offset_ns"].to_numpy() == pytest.approx(np.asarray(seconds) / 2 * NS_PER_S, abs=1)


def test_recorded_lengths_are_scaled_and_cut_and_start_where_the_replay_starts(tmp_path: Path) -> None:
    file = azure(tmp_path)
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    later = [row for row in rows if float(row[0][17:27]) >= 7.5]
    lengths = {**RECORDED, "scale": 0.1, "min_tokens": 20, "max_tokens": 300}
    plan = planned(trace(file, {"input_tokens": lengths, "output_tokens": 5}, start_s=7.5))
    expected = [min(300, max(20, round(int(row[1]) / 10))) for row in later[: plan.num_rows]]
    assert plan["input_tokens"].to_pylist() == expected
    assert set(plan["output_tokens"].to_pylist()) == {5}
    assert plan["intended_offset_ns"][0].as_py() == pytest.approx(
        (float(later[0][0][17:27]) - 7.5) * NS_PER_S, abs=NS_PER_S // 1_000_000
    )


def mooncake(folder: Path, rows: list[tuple[int, list[int]]]) -> Path:
    file = folder / "mooncake.jsonl"
    records = [
        {"timestamp": number * 100, "input_length": length, "output_length": 7, "hash_ids": blocks}
        for number, (length, blocks) in enumerate(rows)
    ]
    file.write_text("\n".join(map(json.dumps, records)) + "\n")
    return file


BLOCKS = {"input_tokens": RECORDED, "output_tokens": RECORDED, "prompts": {"kind": "recorded_blocks"}}


def test_equal_block_ids_are_equal_beginnings_of_prompts(tmp_path: Path) -> None:
    file = mooncake(
        tmp_path,
        [
            (1100, [46, 2**40, 9]),
            (1100, [46, 2**40, 10]),
            (1024, [46, 2**40]),
            (700, [46, 11]),
            (600, [12, 13]),
            (520, [46, 14]),
        ],
    )
    phases = {"warm_up_s": 0, "window_s": 1, "drain_limit_s": 1}
    plan = planned(trace(file, BLOCKS, phases=phases))
    lengths = [[prefix_tokens(each) for each in ids] for ids in plan["prefix_ids"].to_pylist()]
    assert lengths == [
        [512, 512, 76 - OWN_TOKENS],
        [512, 512, 76 - OWN_TOKENS],
        [512, 512 - OWN_TOKENS],
        [512, 188 - OWN_TOKENS],
        [512, 88 - OWN_TOKENS],
        [512 - 8],
    ]
    source = PromptSource.without_tokenizer(seed=1)
    words = [
        source.text(
            PromptKey("salt", 1, "p", None, 0, row["index"]), row["input_tokens"], row["prompt_seed"], row["prefix_ids"]
        ).split()
        for row in plan.to_pylist()
    ]
    assert [len(each) for each in words] == [1100, 1100, 1024, 700, 600, 520]

    def common(one: int, other: int) -> int:
        pairs = zip(words[one], words[other], strict=False)
        return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(words[one]), len(words[other])))

    assert 1024 <= common(0, 1) < 1024 + 12
    assert common(0, 2) == pytest.approx(1024 - OWN_TOKENS, abs=4)
    assert 512 <= common(0, 3) < 512 + 12
    assert common(0, 4) < 12


def test_blocks_shrink_with_the_lengths(tmp_path: Path) -> None:
    file = mooncake(tmp_path, [(5000, list(range(10))), (5000, [*range(5), *range(20, 25)])])
    lengths = {**RECORDED, "scale": 0.1, "max_tokens": 300}
    phases = {"warm_up_s": 0, "window_s": 1, "drain_limit_s": 1}
    plan = planned(trace(file, {**BLOCKS, "input_tokens": lengths}, phases=phases))
    assert plan["input_tokens"].to_pylist() == [300, 300]
    one, other = plan["prefix_ids"].to_pylist()
    assert [prefix_tokens(each) for each in one] == [51] * 5 + [300 - OWN_TOKENS - 255]
    assert one[:5] == other[:5]
    assert one[5] != other[5]


def sharegpt(folder: Path) -> Path:
    entries = [
        {"conversations": [{"from": "human", "value": "one two three"}, {"from": "gpt", "value": "four five"}]},
        {"id": "b", "conversations": [{"from": "gpt", "value": "a continuation: left out"}]},
        {"id": "c", "conversations": []},
        {
            "id": "d",
            "conversations": [
                {"from": "system", "value": "be brief"},
                {"from": "human", "value": "x " * 400},
                {"from": "gpt", "value": "no"},
            ],
        },
        {"id": "e", "messages": [{"role": "user", "content": "hello there"}, {"role": "assistant", "content": "hi"}]},
    ]
    file = folder / "sharegpt.json"
    file.write_text(json.dumps(entries))
    return file


def from_file(file: Path, output: Any = RECORDED, **prompts: Any) -> dict[str, Any]:
    return {
        "name": "chat",
        "input_tokens": RECORDED,
        "output_tokens": output,
        "prompts": {"kind": "from_file", "file": str(file), **prompts},
    }


def test_prompts_of_a_file_are_all_asked_before_any_comes_again(tmp_path: Path) -> None:
    of = scenario(from_file(sharegpt(tmp_path)), [1], max_requests=30)
    plan = planned(of)
    rows = plan["prompt_seed"].to_pylist()
    assert all(sorted(rows[start : start + 3]) == [0, 1, 2] for start in range(0, 30, 3))
    lengths = {row["prompt_seed"]: (row["input_tokens"], row["output_tokens"]) for row in plan.to_pylist()}
    assert lengths == {0: (3, 2), 1: (400, 1), 2: (2, 1)}
    assert prompt_files(of, "chat") == {"all": str(sharegpt(tmp_path))}
    source = PromptSource.without_tokenizer(1).with_files(prompt_files(of, "chat"))
    texts = [
        source.text(PromptKey("s", 1, "p", None, 0, row["index"]), row["input_tokens"], row["prompt_seed"], part="all")
        for row in plan.to_pylist()
    ]
    assert set(texts) == {b"one two three", b"x " * 400, b"hello there"}


def test_the_tokenizer_counts_the_texts_and_long_ones_are_left_out(tmp_path: Path) -> None:
    of = scenario(from_file(sharegpt(tmp_path), 5, max_input_tokens=20), [1], max_requests=10)
    read = with_files_read(of, lambda text: len(text))
    plan = draw(read, points(read, "d"), special_tokens=3)
    assert set(plan["input_tokens"].to_pylist()) == {len("one two three"), len("hello there")}
    assert set(plan["prompt_seed"].to_pylist()) == {0, 2}
    with pytest.raises(UsageError, match="every prompt is longer than max_input_tokens"):
        with_files_read(scenario(from_file(sharegpt(tmp_path), 5, max_input_tokens=1), [1]))


def test_a_file_without_answers_cannot_say_how_long_they_are(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a b", "output_tokens": 4}\n{"text": "c"}\n')
    with pytest.raises(UsageError, match="not every prompt has an answer"):
        planned(scenario(from_file(tmp_path / "p.jsonl"), [1]))


def test_files_that_were_not_read_are_a_usage_error(tmp_path: Path) -> None:
    for of in (
        trace(azure(tmp_path), fixed("all", 9)),
        scenario(from_file(sharegpt(tmp_path)), [1]),
    ):
        with pytest.raises(UsageError, match="not read"):
            points(of, "d")


def test_a_file_that_changed_for_the_worse_is_a_usage_error(tmp_path: Path) -> None:
    file = azure(tmp_path)
    of = trace(file, fixed("all", 9))
    file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n")
    with pytest.raises(UsageError, match="line 2 of the file: TIMESTAMP is 'yesterday'"):
        with_files_read(of)
