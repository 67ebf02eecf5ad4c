"""Any typo in any key of a valid scenario is answered with its line; what is valid survives a round trip."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.resources import shipped
from harness.scenario.loader import load_text, read_back
from harness.scenario.yaml_tree import Node, Place, parse

FOLDER = shipped("scenarios")
EVERYTHING = """\
version: 1
name: everything
description: every key once
target:
  attach:
    name: here
    url: 127.0.0.1:8001
    protocol: triton_grpc
    model: ensemble
    headers: {}
    tls:
      server_name: a
    metrics_url: http://127.0.0.1:8002/metrics
    gpus:
      count: 1
      product: a
      memory_gib: 80
workload:
  - name: mixed
    parts:
      - name: a
        weight: 2
        input_tokens: {distribution: normal, mean_tokens: 90, deviation_tokens: 9, min_tokens: 50, max_tokens: 99}
        output_tokens:
          distribution: lognormal
          median_tokens: 5
          sigma: 0.5
          max_tokens: 9
        prompts:
          kind: shared_prefix
          prefixes: 2
          prefix_tokens: 40
          hit_ratio: 0.5
      - name: b
        input_tokens: {distribution: empirical, tokens: [1, 2], weights: [1, 2]}
        output_tokens: {distribution: fixed, tokens: 3}
  - name: single
    input_tokens: 5
    output_tokens: {distribution: uniform, min_tokens: 1, max_tokens: 2}
    prompts: {kind: unique}
    sessions:
      turns: {min_turns: 1, max_turns: 3}
      new_input_tokens: 4
      think_time_s: {distribution: uniform, min_s: 1, max_s: 2}
      history: reply
    cancel:
      share: 0.5
      after_s: {distribution: lognormal, median_s: 1, sigma: 0.5, max_s: 9}
    timeout_s: {distribution: fixed, duration_s: 3}
load:
  kind: open_loop
  arrivals:
    process: gamma
    request_rate_per_s: [1, 2]
    burstiness: 0.5
  concurrency_cap: 9
phases:
  warm_up_s: 1
  window_s: 2
  drain_limit_s: 3
request: {timeout_s: 9, stream: true, trace_share: 0.5}
repetitions: 2
seed: 3
objectives:
  - metric: time_to_first_token
    statistic: p95
    at_most_ms: 5
  - {metric: goodput, at_least_per_s: 1}
telemetry: {period_s: 1, nvml: true, metrics: true, statistics: false, host: true}
"""
TEXTS = [EVERYTHING, *(file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.yaml")))]


FREE = ("headers", "vary")  # mappings whose names the schema cannot know; `plan.deployments` checks those of `vary`


def keys_of(node: Node) -> list[tuple[str, Place]]:
    if isinstance(node.content, list):
        return [found for item in node.content for found in keys_of(item)]
    if not isinstance(node.content, dict):
        return []
    own = [(key, value.head) for key, value in node.content.items()]
    inner = [value for key, value in node.content.items() if key not in FREE]
    return own + [found for value in inner for found in keys_of(value)]


KEYS = [(text, key, place) for text in TEXTS for key, place in keys_of(parse(text)[0])]


@st.composite
def typos(draw: st.DrawFn) -> tuple[str, int, str]:
    """A valid scenario with one character of one key changed, dropped, added or swapped; its line; the wrong key."""
    text, key, place = draw(st.sampled_from(KEYS))
    at = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from(string.ascii_lowercase + "_"))
    swapped = key[:at] + key[at + 1 : at + 2] + key[at] + key[at + 2 :]
    wrong = draw(
        st.sampled_from(
            [key[:at] + letter + key[at + 1 :], key[:at] + letter + key[at:], key[:at] + key[at + 1 :], swapped]
        ).filter(lambda word: word not in ("", key))
    )
    lines = text.split("\n")
    line = lines[place.line - 1]
    lines[place.line - 1] = line[: place.column - 1] + wrong + line[place.column - 1 + len(key) :]
    return "\n".join(lines), place.line, wrong


@settings(deadline=None)
@given(typos())
def test_any_typo_in_a_key_is_one_message_that_names_its_line(typo: tuple[str, int, str]) -> None:
    text, line, wrong = typo
    with pytest.raises(ScenarioError) as caught:
        load_text(text, FOLDER / "typo.yaml")
    path = f"{FOLDER / 'typo.yaml'}:"
    messages = [said.removeprefix(path) for said in caught.value.message.split("\n") if said.startswith(path)]
    assert any(said.startswith(f"{line}:") and f"{wrong}: unknown key" in said for said in messages)


@pytest.mark.parametrize("text", TEXTS)
def test_a_scenario_survives_the_way_through_json(text: str) -> None:
    path = FOLDER / "round-trip.yaml"
    scenario = read_back(text, path)
    dumped = scenario.model_dump(mode="json")  # without headers: they may hold secrets
    assert read_back(json.dumps(dumped, indent=1), path).model_dump(mode="json") == dumped


@given(st.sampled_from(TEXTS), st.data())
def test_cut_off_anywhere_a_file_is_valid_or_refused_with_a_place(text: str, data: st.DataObject) -> None:
    cut = text[: data.draw(st.integers(0, len(text)))]
    path = FOLDER / "cut.yaml"
    try:
        load_text(cut, path)
    except ScenarioError as error:
        place = error.message.removeprefix(f"{path}:").split(":")
        assert 1 <= int(place[0]) <= cut.count("\n") + 1
        assert int(place[1]) >= 1


def test_the_texts_hold_the_keys_that_typos_are_made_of() -> None:
    assert len(KEYS) > 150
