"""Each kind of mistake, and exactly what a person reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.resources import names
from harness.scenario.loader import load

BASE = """\
version: 1
name: base
target:
  engine: cpu-tiny
  on: embedded
workload:
  input_tokens: 64
  output_tokens: {distribution: uniform, min_tokens: 8, max_tokens: 32}
load:
  kind: closed_loop
  concurrency: [1, 4]
objectives:
  - metric: time_to_first_token
    at_most_ms: 500
"""
METRICS = (
    "time_to_first_token, time_to_first_token_from_send, time_to_second_token, time_per_output_token, "
    "request_latency, request_latency_from_send, output_token_throughput_per_user, request_throughput, "
    "output_token_throughput, total_token_throughput, output_token_throughput_per_gpu, "
    "total_token_throughput_per_gpu, error_ratio, goodput, attainment"
)
DISTRIBUTIONS = "fixed, uniform, normal, lognormal, empirical, recorded"

ONE_CHANGE = {
    "an unknown key at the top": (
        "version: 1",
        "version: 1\nsede: 3",
        ["2:1: sede: unknown key, did you mean `seed`?"],
    ),
    "an unknown key that is like nothing": (
        "  on: embedded",
        "  zzz: 1",
        ["5:3: target.zzz: unknown key; allowed here: engine, on, model, protocol, attach"],
    ),
    "a misspelt required key is one message": (
        "  concurrency:",
        "  concurency:",
        ["11:3: load.concurency: unknown key, did you mean `concurrency`?"],
    ),
    "a misspelt target": (
        "  engine: cpu-tiny\n  on: embedded",
        "  atach: {url: '127.0.0.1:8001'}",
        ["4:3: target.atach: unknown key, did you mean `attach`?"],
    ),
    "a misspelt union tag": (
        "{distribution: uniform",
        "{distributon: uniform",
        ["8:19: workload.output_tokens.distributon: unknown key, did you mean `distribution`?"],
    ),
    "a misspelt list of parts": (
        "  input_tokens: 64\n",
        "  partz: [{input_tokens: 64, output_tokens: 3}]\n",
        ["7:3: workload.partz: unknown key, did you mean `parts`?"],
    ),
    "a missing key points at its mapping": (
        "  concurrency: [1, 4]\n",
        "",
        ["9:1: load.concurrency: `concurrency` is missing: requests in flight; a list measures one point per level"],
    ),
    "a missing union tag": (
        "  kind: closed_loop\n",
        "",
        ["9:1: load.kind: `kind` is missing: allowed: closed_loop, open_loop, multi_tenant"],
    ),
    "a missing key at the top": (
        "name: base\n",
        "",
        ["1:1: name: `name` is missing: name in run folders, reports and baselines"],
    ),
    "an unknown union tag": (
        "distribution: uniform",
        "distribution: unifrom",
        [
            "8:33: workload.output_tokens.distribution: found 'unifrom', did you mean `uniform`? "
            f"allowed: {DISTRIBUTIONS}"
        ],
    ),
    "an unknown word": (
        "on: embedded",
        "on: embeded",
        ["5:7: target.on: found 'embeded', did you mean `embedded`? allowed: embedded, process, container, kubernetes"],
    ),
    "an unknown metric": (
        "metric: time_to_first_token",
        "metric: time_to_frist_token",
        [
            "13:13: objectives[0].metric: found 'time_to_frist_token', did you mean `time_to_first_token`?",
            f"    allowed: {METRICS}",
        ],
    ),
    "an unknown engine": (
        "engine: cpu-tiny",
        "engine: cpu-tny",
        [
            "4:11: target.engine: there is no engine 'cpu-tny', did you mean `cpu-tiny`? "
            f"known: {', '.join(names('engines'))}, or the path of a YAML file"
        ],
    ),
    "a number out of bounds": (
        "concurrency: [1, 4]",
        "concurrency: [1, 0]",
        ["11:20: load.concurrency[1]: found 0; allowed: a whole number above 0"],
    ),
    "a short form out of bounds": (
        "concurrency: [1, 4]",
        "concurrency: 0",
        ["11:16: load.concurrency: found 0; allowed: a whole number above 0, or a list of whole numbers above 0"],
    ),
    "a text where a number is needed": (
        "at_most_ms: 500",
        'at_most_ms: "500"',
        ["14:17: objectives[0].at_most_ms: found '500'; allowed: a number of at least 0"],
    ),
    "a fraction where a whole number is needed": (
        "input_tokens: 64",
        "input_tokens: 64.5",
        [
            "7:17: workload.input_tokens: found 64.5;",
            f"    allowed: a whole number above 0, or a mapping with `distribution`: {DISTRIBUTIONS}",
        ],
    ),
    "a boolean where a number is needed": (
        "version: 1",
        "version: 1\nseed: true",
        ["2:7: seed: found true; allowed: a whole number of at least 0 and below 9223372036854775808"],
    ),
    "yes is no boolean": (
        "version: 1",
        "version: 1\ntelemetry: {nvml: yes}",
        ["2:19: telemetry.nvml: found 'yes'; allowed: true, false"],
    ),
    "a date is a text": (
        "name: base",
        "name: base\nseed: 2024-01-01",
        ["3:7: seed: found '2024-01-01'; allowed: a whole number of at least 0 and below 9223372036854775808"],
    ),
    "an infinite number": (
        "at_most_ms: 500",
        "at_most_ms: .inf",
        ["14:17: objectives[0].at_most_ms: found .inf; allowed: a number of at least 0"],
    ),
    "a name with a capital letter": (
        "name: base",
        "name: Base",
        ["2:7: name: found 'Base'; allowed: lower-case letters, digits, `.`, `_`, `-` (at most 80)"],
    ),
    "nothing where a value is needed": (
        "name: base",
        "name:",
        ["2:6: name: found nothing; allowed: lower-case letters, digits, `.`, `_`, `-` (at most 80)"],
    ),
    "a mapping where a list is needed": (
        "concurrency: [1, 4]",
        "concurrency: {a: 1}",
        [
            "11:3: load.concurrency: found a mapping; "
            "allowed: a whole number above 0, or a list of whole numbers above 0"
        ],
    ),
    "a key that stands twice": (
        "  on: embedded",
        "  on: embedded\n  engine: cpu-small",
        ["6:3: target.engine: stands twice: first on line 4"],
    ),
    "bounds out of order": (
        "min_tokens: 8",
        "min_tokens: 80",
        ["8:54: workload.output_tokens.min_tokens: 80 is above max_tokens (32)"],
    ),
    "a prefix as long as the prompt": (
        "  input_tokens: 64\n",
        "  input_tokens: 64\n  prompts: {kind: shared_prefix, prefixes: 2, prefix_tokens: 64}\n",
        [
            "8:62: workload.prompts.prefix_tokens: 64 is not below the shortest prompt (input_tokens: 64): "
            "a rest must be unique"
        ],
    ),
    "a level twice": (
        "concurrency: [1, 4]",
        "concurrency: [1, 4, 1]",
        ["11:23: load.concurrency[2]: 1 stands twice: each level is measured once, use `repetitions` for more"],
    ),
    "an objective twice": (
        "    at_most_ms: 500\n",
        "    at_most_ms: 500\n  - {metric: time_to_first_token, at_most_ms: 900}\n",
        ["15:14: objectives[1].metric: a bound of time_to_first_token stands twice: keep one"],
    ),
    "a bound that does not fit its metric": (
        "metric: time_to_first_token",
        "metric: error_ratio",
        ["14:17: objectives[0].at_most_ms: error_ratio is bounded by `at_most_ratio`"],
    ),
    "an objective without a bound": (
        "    at_most_ms: 500\n",
        "",
        ["13:13: objectives[0].metric: time_to_first_token needs its bound `at_most_ms`"],
    ),
    "a statistic of a metric that has none": (
        "metric: time_to_first_token\n    at_most_ms: 500",
        "metric: error_ratio\n    statistic: p95\n    at_most_ratio: 0",
        ["14:16: objectives[0].statistic: error_ratio is one number per point: it takes no `statistic`"],
    ),
    "two kinds of window": (
        "objectives:",
        "phases: {window_s: 5, window_requests: 9}\nobjectives:",
        ["12:40: phases.window_requests: window_s and window_requests exclude each other: keep one"],
    ),
    "a window that max_requests cannot fill": (
        "  concurrency: [1, 4]\n",
        "  concurrency: [1, 4]\n  max_requests: 100\nphases: {window_requests: 100}\n",
        ["12:17: load.max_requests: 100 requests are not enough: warm-up (2 x concurrency) and window take 108"],
    ),
    "two workloads of one name": (
        "workload:\n  input_tokens: 64\n  output_tokens: {distribution: uniform, min_tokens: 8, max_tokens: 32}",
        "workload:\n  - {name: a, input_tokens: 1, output_tokens: 1}\n  - {name: a, input_tokens: 2, output_tokens: 1}",
        ["8:12: workload[1].name: each workload needs a name of its own, 'a' stands twice"],
    ),
}


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
    file = tmp_path / "s.yaml"
    file.write_text(BASE, encoding="utf-8")
    assert load(file).scenario.name == "base"


def test_all_mistakes_of_a_file_come_at_once_and_by_line(tmp_path: Path) -> None:
    text = BASE.replace("name: base", "name: Base").replace("min_tokens", "min_tokns").replace("[1, 4]", "[1, 1]")
    text = text.replace("at_most_ms: 500", "at_most_ms: -1") + "seeed: 1\n"
    found = messages(tmp_path / "s.yaml", text)
    assert [line.split(":")[0] for line in found] == ["2", "8", "11", "14", "15"]


def test_mistakes_beside_a_wrong_union_tag_are_found_too(tmp_path: Path) -> None:
    text = BASE.replace("{distribution: uniform, min_tokens: 8", "{distribution: unifrom, min_tokns: 8")
    found = messages(tmp_path / "s.yaml", text)
    assert found[1] == "8:42: workload.output_tokens.min_tokns: unknown key, did you mean `min_tokens`?"
    assert len(found) == 2


def test_the_list_form_of_a_workload_is_named_with_its_index(tmp_path: Path) -> None:
    text = BASE.replace("workload:\n  input_tokens: 64", "workload:\n- input_tokens: 0")
    assert messages(tmp_path / "s.yaml", text)[0].startswith("7:17: workload[0].input_tokens: found 0;")


def test_parts_are_named_with_their_index(tmp_path: Path) -> None:
    parts = "workload:\n  parts:\n    - {input_tokens: 3, output_tokens: {distribution: fixed}}\nload:"
    text = BASE[: BASE.index("workload:")] + parts + BASE.split("\nload:")[1]
    assert messages(tmp_path / "s.yaml", text) == [
        "8:25: workload.parts[0].output_tokens.tokens: `tokens` is missing: the length"
    ]


def test_a_file_that_is_a_list_is_told_what_it_should_be(tmp_path: Path) -> None:
    assert messages(tmp_path / "s.yaml", "- a\n- b\n")[0].startswith("1:1: found a list of 2;")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty"),
        ("# only a comment\n", "1:1: the file is empty"),
        ("version: 1\nload:\n\tkind: x\n", "3:1: a tab cannot indent or begin a value in YAML: use spaces"),
        ("a: b: c\n", "1:5: unexpected `:`: check the indentation and the line above, or put the value in quotes"),
        ("load:\n  kind: x\n concurrency: 1\n", "3:2: this line does not fit the lines above: check the indentation"),
        ("name: 'base\nversion: 1\n", "1:7: a quote is opened and never closed"),
        (
            "load: {kind: x\nversion: 1\n",
            "1:7: a bracket is opened here and not closed, or a comma is missing",
        ),
        ("version: 1\nname\n", "2:1: expected `key: value`"),
        (
            "a: &x 1\nb: *x\n",
            "1:4: anchors and aliases (`&`, `*`) are not used here: write the value out, or put it in quotes",
        ),
        ("a: !!python/name:os.system 1\n", "1:4: tags (`!`) are not used here: put the value in quotes"),
        ("a: 1\n---\nb: 2\n", "2:1: only one document per file: remove the `---`"),
        ("a: \x07\n", "1:4: the character U+0007 is not allowed in YAML"),
        ("[" * 3000, "1:1: nested too deeply"),
    ],
)
def test_text_that_is_no_yaml_is_one_clear_message(text: str, expected: str, tmp_path: Path) -> None:
    assert messages(tmp_path / "s.yaml", text) == [expected]


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nothing.yaml: cannot be read: No such file"):
        load(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ScenarioError, match="UTF-8"):
        load(tmp_path / "latin.yaml")
