"""The shipped scenarios, their JSON Schema and every snippet of their README, through the real loader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.compute as pc
import pytest

from harness.engine.load import load_engine
from harness.plan.draw import draw
from harness.plan.files import with_files_read
from harness.plan.matrix import points
from harness.resources import names, shipped
from harness.scenario import json_schema
from harness.scenario.loader import Loaded, load, load_text
from harness.scenario.target import EngineTarget
from harness.scenario.yaml_tree import parse

FOLDER = shipped("scenarios")
SCHEMA = json.loads(json_schema.text())
SNIPPETS = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.S)
SHIPPED = sorted(file.stem for file in FOLDER.glob("*.yaml"))


def as_json(text: str) -> Any:
    return parse(text)[0].plain()


def completed(snippet: str) -> str:
    """The snippet, with what it lacks from the smallest scenario, which is the first snippet."""
    given = as_json(snippet)
    return snippet + "".join(f"{line}\n" for line in SNIPPETS[0].splitlines() if line.split(":")[0] not in given)


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the snippets refer to."""
    for name in ("TRITON_TOKEN", "PEOPLE_TOKEN"):
        monkeypatch.setenv(name, "token")
    (tmp_path / "lengths.csv").write_text("input_tokens,output_tokens\n100,20\n")
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens,output_tokens\n0,100,20\n75,300,40\n")
    hashed = {"timestamp": 0, "input_length": 1100, "output_length": 20, "hash_ids": [7, 8, 9]}
    (tmp_path / "mooncake.jsonl").write_text(json.dumps(hashed))
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "Who are you?", "answer": "A model."}))
    for name in ("company-ca.pem", "tokenizer.json"):
        (tmp_path / name).touch()
    return tmp_path


def test_there_are_scenarios_and_snippets_to_test() -> None:
    assert {"quickstart", "prompt-length-sweep", "long-prompt-mix", "smoke", "attach-example", "shared-prefix"} <= set(
        SHIPPED
    )
    assert len(SNIPPETS) > 15


def test_the_schema_file_is_in_step() -> None:
    assert (FOLDER / "scenario.schema.json").read_text(encoding="utf-8") == json_schema.text(), (
        "run: harness schema > scenarios/scenario.schema.json"
    )


def test_the_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_is_valid_and_named_like_its_file(name: str) -> None:
    file = FOLDER / f"{name}.yaml"
    loaded = load(file)
    assert loaded.scenario.name == name
    assert loaded.text.startswith("# yaml-language-server: $schema=scenario.schema.json\n")
    jsonschema.validate(as_json(loaded.text), SCHEMA)
    assert f"| `{name}` |" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_lengths_of_a_shipped_scenario_fit_its_engine(name: str) -> None:
    scenario = load(FOLDER / f"{name}.yaml").scenario
    if not isinstance(scenario.target, EngineTarget):
        return
    longest = load_engine(scenario.target.engine).spec.settings.max_seq_len
    read = with_files_read(scenario)
    plan = draw(read, points(read, "d"))
    assert pc.max(pc.add(plan["input_tokens"], plan["output_tokens"])).as_py() <= longest


def test_quickstart_shows_batching_queueing_and_goodput_in_about_a_minute() -> None:
    scenario = load(FOLDER / "quickstart.yaml").scenario
    batch = load_engine("cpu-tiny").spec.settings.max_batch_size
    levels = scenario.load.concurrency  # type: ignore[union-attr]
    assert min(levels) == 1
    assert batch in levels
    assert max(levels) > batch
    assert len(scenario.workload) == 2
    assert any(objective.statistic is None for objective in scenario.objectives)
    assert scenario.number_of_points * (scenario.phases.warm_up_s + (scenario.phases.window_s or 0)) <= 60


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[text.splitlines()[0] for text in SNIPPETS])
def test_a_snippet_of_the_readme_is_valid(snippet: str, surroundings: Path) -> None:
    text = completed(snippet)
    loaded = load_text(text, surroundings / "snippet.yaml")
    assert isinstance(loaded, Loaded)
    jsonschema.validate(as_json(text), SCHEMA)


@pytest.mark.parametrize(
    ("key", "snippet"),
    [(key, text) for text in SNIPPETS for key in ("phases", "request", "telemetry") if text.startswith(f"{key}:")],
)
def test_the_defaults_that_the_readme_shows_are_the_defaults(key: str, snippet: str, surroundings: Path) -> None:
    if "window_requests" in snippet:
        return
    shown = load_text(completed(snippet), surroundings / "a.yaml").scenario
    smallest = load_text(SNIPPETS[0], surroundings / "b.yaml").scenario
    if key == "phases":
        assert shown.phases.window_length_s == smallest.phases.window_length_s
        assert shown.phases.warm_up_s == smallest.phases.warm_up_s
        assert shown.phases.drain_limit_s == smallest.request.timeout_s
    for field in ("request", "telemetry", "seed", "repetitions"):
        assert getattr(shown, field) == getattr(smallest, field)


@pytest.mark.parametrize("snippet", [text for text in SNIPPETS if "load:" in text or "workload:" in text])
def test_a_snippet_of_the_readme_can_be_planned(snippet: str, surroundings: Path) -> None:
    scenario = with_files_read(load_text(completed(snippet), surroundings / "snippet.yaml").scenario)
    assert draw(scenario, points(scenario, "d")).num_rows > 0


def test_the_schema_refuses_what_the_loader_refuses(surroundings: Path) -> None:
    for wrong in ("{distribution: normall, tokens: 1}", "{tokens: 5}", "0", "12.5", "'5'", "{distribution: uniform}"):
        text = completed(f"workload: {{input_tokens: {wrong}, output_tokens: 3}}\n")
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(as_json(text)), wrong


def test_every_key_of_the_schema_has_a_description() -> None:
    without = [f"{model}.{key}" for model, key, inner in _properties() if not inner.get("description")]
    assert without == []


def _properties() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for model, schema in (("Scenario", SCHEMA), *SCHEMA["$defs"].items()):
        for key, inner in schema.get("properties", {}).items():
            yield model, key, inner


def test_a_union_tag_never_reads_like_a_key() -> None:
    """Locations of mistakes rely on it: a step of pydantic's that is a key is followed, one that is not is skipped."""
    keys = {key for _, key, _ in _properties()}
    tags = {inner["const"] for _, key, inner in _properties() if key in ("kind", "distribution", "process") and inner}
    assert tags
    assert not keys & (tags | {"engine to start", "server to attach to"})


@pytest.mark.parametrize("name", names("engines"))
def test_the_same_reader_reads_engines(name: str) -> None:
    assert load_engine(name).spec.name == name
