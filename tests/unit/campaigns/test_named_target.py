"""The sides of a gate: engines, addresses and files, and what an address takes from the scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.campaigns.named_target import named_target
from harness.errors import ScenarioError, UsageError
from harness.scenario.schema import Scenario
from harness.scenario.target import AttachTarget, EngineTarget


def scenario(target: dict[str, object]) -> Scenario:
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "t",
            "target": target,
            "workload": {"input_tokens": 8, "output_tokens": 8},
            "load": {"kind": "closed_loop", "concurrency": 1},
        }
    )


ATTACHED = scenario(
    {
        "attach": {
            "name": "mine",
            "url": "127.0.0.1:1",
            "model": "tensorrt_llm",
            "protocol": "triton_http",
            "headers": {"x-team": "a"},
            "gpus": {"count": 2},
        }
    }
)
STARTED = scenario({"engine": "cpu-small", "model": "tensorrt_llm"})


@pytest.mark.parametrize("name", ["10.0.0.7:8001", "http://10.0.0.7:8001"])
def test_an_address_is_asked_as_the_scenario_asks_its_own_server(name: str) -> None:
    found = named_target(name, ATTACHED)
    assert isinstance(found, AttachTarget)
    assert isinstance(ATTACHED.target, AttachTarget)
    own = ATTACHED.target.attach
    assert (found.attach.url, found.attach.name) == ("10.0.0.7:8001", None)
    for field in ("model", "protocol", "headers", "gpus", "tls", "tokenizer"):
        assert getattr(found.attach, field) == getattr(own, field)


def test_an_address_beside_a_scenario_that_starts_an_engine_takes_its_model_and_protocol() -> None:
    found = named_target("127.0.0.1:9001", STARTED)
    assert isinstance(found, AttachTarget)
    assert (found.attach.model, found.attach.protocol) == ("tensorrt_llm", "triton_grpc")


def test_an_engine_by_name_or_file_is_asked_as_the_scenario_asks_its_own(tmp_path: Path) -> None:
    found = named_target("cpu-tiny", STARTED)
    assert found == EngineTarget(engine="cpu-tiny", model="tensorrt_llm")
    file = tmp_path / "mine.yaml"
    file.write_text("kind: cpu\nname: mine\n")
    assert named_target(str(file), STARTED) == EngineTarget(engine=str(file), model="tensorrt_llm")


def test_a_file_with_a_target_and_a_whole_scenario_name_a_server_too(tmp_path: Path) -> None:
    target = "target:\n  attach: {url: '127.0.0.1:7', model: m}\n"
    alone, whole = tmp_path / "alone.yaml", tmp_path / "whole.yaml"
    alone.write_text(target)
    asked = "workload: {input_tokens: 8, output_tokens: 8}\nload: {kind: closed_loop, concurrency: 1}\n"
    rest = f"version: 1\nname: w\n{asked}"
    whole.write_text(target + rest)
    for file in (alone, whole):
        found = named_target(str(file), STARTED)
        assert isinstance(found, AttachTarget)
        assert found.attach.model == "m"


def test_mistakes_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("target: {attach: {url: nowhere, model: m}}\n")
    with pytest.raises(ScenarioError, match=r"broken\.yaml:1:\d+: target\.attach\.url"):
        named_target(str(broken), STARTED)
    with pytest.raises(UsageError, match="no engine named 'cpu-tinny'"):
        named_target("cpu-tinny", STARTED)
    with pytest.raises(UsageError, match="is no host:port"):
        named_target("host:eighty", ATTACHED)
    with pytest.raises(ScenarioError, match="cannot be read"):
        named_target(str(tmp_path / "absent.yaml"), STARTED)
