"""Mistakes in open loops, traces, tenants, sessions and files of prompts, and exactly what a person reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.loader import load

BASE = """\
version: 1
name: base
target: {engine: cpu-tiny}
workload:
  name: two
  parts:
    - {name: chat, input_tokens: 64, output_tokens: 8}
    - {name: document, input_tokens: 900, output_tokens: 8}
load:
  kind: open_loop
  arrivals: {process: poisson, request_rate_per_s: [1, 4]}
phases: {window_s: 30}
"""
POISSON = "{process: poisson, request_rate_per_s: [1, 4]}"
CHAT = "{name: chat, input_tokens: 64, output_tokens: 8}"
LOAD = f"  kind: open_loop\n  arrivals: {POISSON}\n"
PROCESSES = "constant, poisson, gamma, on_off, ramp, steps, trace"
TRACES = (
    "a trace is a CSV file with TIMESTAMP, ContextTokens, GeneratedTokens (Azure), JSONL with timestamp, input_length, "
    "output_length (Mooncake), or CSV or JSONL with arrival_s, input_tokens, output_tokens"
)


def tenants(*each: str) -> str:
    return "  kind: multi_tenant\n  tenants:\n" + "".join(f"    - {one}\n" for one in each)


ONE_CHANGE = {
    "an unknown process": (
        "process: poisson",
        "process: poison",
        [f"11:23: load.arrivals.process: found 'poison', did you mean `poisson`? allowed: {PROCESSES}"],
    ),
    "a rate twice": (
        "[1, 4]",
        "[1, 4, 1]",
        ["11:59: load.arrivals.request_rate_per_s[2]: 1.0 stands twice: each level is measured once, use "
         "`repetitions` for more"],
    ),
    "a rate of nothing": (
        "[1, 4]",
        "0",
        ["11:52: load.arrivals.request_rate_per_s: found 0; allowed: a number above 0, or a list of numbers above 0"],
    ),
    "a window in requests": (
        "window_s: 30",
        "window_requests: 30",
        ["12:27: phases.window_requests: the window of an open loop is a length of time: use `window_s`"],
    ),
    "steps longer than the window": (
        POISSON,
        "{process: steps, request_rate_per_s: [1, 4, 9], step_s: 20}",
        ["11:69: load.arrivals.step_s: 3 steps of 20 s take 60 s, the window is 30 s: set phases.window_s to 60"],
    ),
    "a burst without its silence": (
        POISSON,
        "{process: on_off, request_rate_per_s: 4, on_s: 2}",
        ["11:3: load.arrivals.off_s: `off_s` is missing: length of the silence after it"],
    ),
    "a cap of nothing": (
        LOAD,
        LOAD + "  concurrency_cap: 0\n",
        ["12:20: load.concurrency_cap: found 0; allowed: a whole number above 0"],
    ),
    "a tenant with two rates": (
        LOAD,
        tenants(f"{{name: a, arrivals: {POISSON}}}"),
        ["12:46: load.tenants[0].arrivals.request_rate_per_s: a tenant has one rate: write one scenario per "
         "combination"],
    ),
    "two tenants of one name": (
        LOAD,
        tenants(*["{name: a, arrivals: {process: constant, request_rate_per_s: 1}}"] * 2),
        ["13:14: load.tenants[1].name: each tenant needs a name of its own, 'a' stands twice"],
    ),
    "a part that does not exist": (
        LOAD,
        tenants("{name: a, parts: [chats], arrivals: {process: constant, request_rate_per_s: 1}}"),
        ["12:25: load.tenants[0].parts[0]: workload two has no part 'chats', did you mean `chat`? it has: chat, "
         "document"],
    ),
    "a secret of a tenant": (
        LOAD,
        tenants("{name: a, headers: {x-api-key: abc}, arrivals: {process: constant, request_rate_per_s: 1}}"),
        ["12:38: load.tenants[0].headers.x-api-key: looks like a secret: write it as ${ENV_NAME} and export that "
         "variable"],
    ),
    "an objective of a tenant twice": (
        LOAD,
        tenants(
            "{name: a, arrivals: {process: constant, request_rate_per_s: 1}, objectives: "
            "[{metric: goodput, at_least_per_s: 1}, {metric: goodput, at_least_per_s: 2}]}"
        ),
        ["12:131: load.tenants[0].objectives[1].metric: a bound of goodput stands twice: keep one"],
    ),
    "recorded lengths of nothing": (
        CHAT,
        CHAT.replace("64", "{distribution: recorded}"),
        ["7:20: workload.parts[0].input_tokens: there is nothing recorded: use "
         "`load: {kind: open_loop, arrivals: {process: trace, …}}`"],
    ),
    "blocks without recorded lengths": (
        CHAT,
        CHAT.replace("output", "prompts: {kind: recorded_blocks}, output"),
        ["7:34: workload.parts[0].input_tokens: blocks belong to recorded lengths: write `{distribution: recorded}`"],
    ),
    "sessions of recorded lengths": (
        CHAT,
        CHAT.replace("64", "{distribution: recorded}, sessions: {turns: 3, new_input_tokens: 5}"),
        ["7:20: workload.parts[0].input_tokens: recorded requests are no sessions: give lengths of turns, or leave out "
         "`sessions`"],
    ),
    "turns out of order": (
        CHAT,
        CHAT.replace("64", "64, sessions: {turns: {min_turns: 3, max_turns: 2}, new_input_tokens: 5}"),
        ["7:68: workload.parts[0].sessions.turns.min_turns: 3 is above max_turns (2)"],
    ),
    "no turns": (
        CHAT,
        CHAT.replace("64", "64, sessions: {turns: 0, new_input_tokens: 5}"),
        ["7:56: workload.parts[0].sessions.turns: found 0;",
         "    allowed: a whole number of at least 1 and at most 1000, or a mapping of min_turns, max_turns"],
    ),
    "lengths of later turns out of order": (
        CHAT,
        CHAT.replace(
            "64",
            "64, sessions: {turns: 2, new_input_tokens: {distribution: uniform, min_tokens: 9, max_tokens: 3}}",
        ),
        ["7:113: workload.parts[0].sessions.new_input_tokens.min_tokens: 9 is above max_tokens (3)"],
    ),
    "a think time below zero": (
        CHAT,
        CHAT.replace("64", "64, sessions: {turns: 2, new_input_tokens: 5, think_time_s: -1}"),
        ["7:94: workload.parts[0].sessions.think_time_s: found -1;",
         "    allowed: a number of at least 0, or a mapping with `distribution`: "
         "fixed, uniform, exponential, lognormal"],
    ),
    "a cancellation without its moment": (
        CHAT,
        CHAT.replace("64", "64, cancel: {share: 0.5}"),
        ["7:38: workload.parts[0].cancel: give either `after_tokens` or `after_s`"],
    ),
    "a share in percent": (
        CHAT,
        CHAT.replace("64", "64, cancel: {share: 50, after_tokens: 3}"),
        ["7:54: workload.parts[0].cancel.share: found 50; allowed: a number of at least 0 and at most 1"],
    ),
    "a timeout of nothing": (
        CHAT,
        CHAT.replace("64", "64, timeout_s: 0"),
        ["7:49: workload.parts[0].timeout_s: must be above 0"],
    ),
    "durations out of order": (
        CHAT,
        CHAT.replace("64", "64, timeout_s: {distribution: uniform, min_s: 9, max_s: 3}"),
        ["7:80: workload.parts[0].timeout_s.min_s: 9 is above max_s (3)"],
    ),
    "a hit ratio of nothing": (
        CHAT,
        CHAT.replace("64", "64, prompts: {kind: shared_prefix, prefixes: 2, prefix_tokens: 9, hit_ratio: 0}"),
        ["7:111: workload.parts[0].prompts.hit_ratio: found 0; allowed: a number above 0 and at most 1"],
    ),
}  # fmt: skip


def messages(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.message.split("\n")]


@pytest.mark.parametrize("name", ONE_CHANGE)
def test_one_mistake_is_one_message_with_its_place_and_what_is_allowed(name: str, tmp_path: Path) -> None:
    before, after, expected = ONE_CHANGE[name]
    assert BASE.count(before) == 1
    assert messages(tmp_path / "s.yaml", BASE.replace(before, after)) == expected


def test_the_base_of_these_tests_is_valid(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(BASE)
    assert load(tmp_path / "s.yaml").scenario.number_of_points == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", f"trace.csv has no rows; {TRACES}"),
        ("arrival_s,input_tokens\n", f"trace.csv has no rows; {TRACES}"),
        ("arival_s,input_tokens\n0,1\n",
         f"is not a trace, it has arival_s, input_tokens; did you mean `arrival_s`?; {TRACES}"),
        ('{"when": 3}\n', f"is not a trace, it has when; {TRACES}"),
        ('{"timestamp": 3\n', "line 1 of the file is no JSON: Expecting ',' delimiter"),
        ('{"timestamp": true}\n', "line 1 of the file: timestamp is True, which is no instant"),
        ("arrival_s\nNaN\n", "line 2 of the file: arrival_s is 'NaN', which is no instant"),
        ("TIMESTAMP,ContextTokens\n2023-11-16,5\n",
         "line 2 of the file: TIMESTAMP is '2023-11-16', which is no instant"),
        ("TIMESTAMP,ContextTokens\n2023-13-16 00:00:00,5\n",
         "line 2 of the file: TIMESTAMP is '2023-13-16 00:00:00', which is no instant"),
        ("arrival_s,input_tokens\n0,-3\n", "line 2 of the file: input_tokens is '-3', but lengths are whole numbers"),
        ("arrival_s,input_tokens\n0,\n", "line 2 of the file: input_tokens is '', but lengths are whole numbers"),
        ("arrival_s,block_ids\n0,1;2\n", "line 2 of the file: block_ids is '1;2', but block ids are whole numbers"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_told_what_one_is(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(content)
    text = BASE.replace(POISSON, "{process: trace, file: trace.csv}")
    assert messages(tmp_path / "s.yaml", text) == [f"11:36: load.arrivals.file: {expected}"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("{name: chat, input_tokens: {distribution: recorded}, output_tokens: 8}",
         "7:20: workload.parts[0].input_tokens: the trace trace.csv has no input lengths"),
        ("{name: chat, input_tokens: 8, output_tokens: {distribution: recorded}}",
         "7:37: workload.parts[0].output_tokens: the trace trace.csv has no output lengths"),
    ],
)  # fmt: skip
def test_lengths_that_a_trace_does_not_have_are_named(part: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("arrival_s\n1.5\n")
    text = BASE.replace(POISSON, "{process: trace, file: trace.csv}").replace(CHAT, part)
    assert messages(tmp_path / "s.yaml", text) == [expected]


def test_blocks_that_a_trace_does_not_have_are_named(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens\n1.5,30\n")
    part = "{name: chat, input_tokens: {distribution: recorded}, output_tokens: 8, prompts: {kind: recorded_blocks}}"
    text = BASE.replace(POISSON, "{process: trace, file: trace.csv}").replace(CHAT, part)
    assert messages(tmp_path / "s.yaml", text) == [
        "7:78: workload.parts[0].prompts: the trace trace.csv has no block ids"
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "prompts.jsonl has no prompts; a file of prompts is JSONL with `prompt`, or a JSON list of ShareGPT "
         "`conversations`"),
        ('{"prompt": "a"}\n{"promt": "b"}\n', "line 2 of the file has no text in `prompt`; it has: promt"),
        ('{"prompt": ""}\n', "line 1 of the file has no text in `prompt`; it has: prompt"),
        ('{"prompt": "a", "output_tokens": 0}\n',
         "line 1 of the file: output_tokens is 0, but lengths are whole numbers above 0"),
        ("no json\n", "line 1 of the file is no JSON: Expecting value"),
        ('[\n{"conversations": []},\n]', "line 3 of the file is no JSON: Expecting value"),
        ('[{"conversations": "a"}]', "entry 1 of the file: its conversation is no list of objects"),
        (json.dumps([{"conversations": [{"from": "gpt", "value": "a"}]}]),
         "prompts.jsonl has no prompts; a file of prompts is JSONL with `prompt`, or a JSON list of ShareGPT "
         "`conversations`"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_prompts_is_told_what_one_is(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(content)
    part = (
        "{name: chat, input_tokens: {distribution: recorded}, output_tokens: 8, prompts: {kind: from_file, file: %s}}"
    )
    text = BASE.replace(CHAT, part % "prompts.jsonl")
    assert messages(tmp_path / "s.yaml", text) == [f"7:111: workload.parts[0].prompts.file: {expected}"]


def test_texts_of_a_file_have_the_lengths_they_have(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}')
    prompts = "output_tokens: 8, prompts: {kind: from_file, file: p.jsonl}}"
    for lengths, said in (("64", "have the lengths they have: write `{distribution: recorded}`"),
                          ("{distribution: recorded, scale: 0.5}", "are sent as they are: no scale")):  # fmt: skip
        text = BASE.replace(CHAT, f"{{name: chat, input_tokens: {lengths}, {prompts}")
        (message,) = messages(tmp_path / "s.yaml", text)
        assert message.startswith("7:")
        assert f"workload.parts[0].input_tokens: texts from a file {said}" in message


def test_the_secrets_of_a_tenant_are_filled_in_and_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TEST_TOKEN", "s3cret")
    headers = '{x-tenant: a, authorization: "Bearer ${HARNESS_TEST_TOKEN}"}'
    one = f"{{name: a, headers: {headers}, arrivals: {{process: constant, request_rate_per_s: 1}}}}"
    (tmp_path / "s.yaml").write_text(BASE.replace(LOAD, tenants(one)))
    loaded = load(tmp_path / "s.yaml")
    assert loaded.scenario.tenants[0].headers == {"x-tenant": "a", "authorization": "Bearer s3cret"}
    for shown in (loaded.text, repr(loaded), str(loaded.scenario.model_dump()), loaded.scenario.model_dump_json()):
        assert "s3cret" not in shown
