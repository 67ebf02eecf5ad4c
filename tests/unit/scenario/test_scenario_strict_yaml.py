"""The strict reader with a model of its own, and the YAML 1.1 traps it avoids."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from harness.errors import ScenarioError
from harness.scenario.strict import Strict
from harness.scenario.strict_yaml import load_strict
from harness.scenario.yaml_tree import parse


class Wheel(Strict):
    size: int = Field(ge=10, description="inches")


class Bicycle(Strict):
    name: str
    wheels: list[Wheel] = Field(min_length=2, max_length=4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("-3", -3), ("017", 17),
        ("1_000", "1_000"), ("0x1f", "0x1f"), ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("'1'", "1"),
        ("<<", "<<"), ("1.2.3", "1.2.3"), ("-.inf", float("-inf")), ("=", "="), ("1" * 5000, "1" * 5000),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    tree, mistakes = parse(f"on: {text}\n")
    assert tree.plain() == {"on": value}
    assert type(tree.plain()["on"]) is type(value)  # type: ignore[index]
    assert not mistakes


def test_keys_are_always_words() -> None:
    tree, _ = parse("1: a\ntrue: b\n~: c\n")
    assert tree.plain() == {"1": "a", "true": "b", "~": "c"}


def test_a_key_that_is_no_word_is_a_mistake() -> None:
    _, mistakes = parse("a: 1\n? [x, y]\n: 2\n")
    assert [str(each) for each in mistakes] == ["a key must be a word"]
    assert mistakes[0].place.line == 2


def test_any_model_is_read_with_its_text(tmp_path: Path) -> None:
    file = tmp_path / "bicycle.yaml"
    file.write_text("name: racer\nwheels: [{size: 28}, {size: 28}]\n")
    bicycle, text = load_strict(file, Bicycle)
    assert bicycle == Bicycle(name="racer", wheels=[Wheel(size=28), Wheel(size=28)])
    assert text == file.read_text()


def test_mistakes_of_any_model_are_located(tmp_path: Path) -> None:
    file = tmp_path / "bicycle.yaml"
    file.write_text("nmae: racer\nwheels:\n  - {size: 28}\n  - sise: 9\n  - size: 9\n  - {}\n")
    with pytest.raises(ScenarioError) as caught:
        load_strict(file, Bicycle)
    assert caught.value.message.split("\n") == [
        f"{file}:1:1: nmae: unknown key, did you mean `name`?",
        f"{file}:4:5: wheels[1].sise: unknown key, did you mean `size`?",
        f"{file}:5:11: wheels[2].size: found 9; allowed: a whole number of at least 10",
        f"{file}:6:5: wheels[3].size: `size` is missing: inches",
    ]


def test_a_list_that_is_too_short_says_how_long_it_must_be(tmp_path: Path) -> None:
    file = tmp_path / "bicycle.yaml"
    file.write_text("name: a\nwheels:\n  - size: 28\n")
    with pytest.raises(ScenarioError, match=r":2:1: wheels: found a list of 1; allowed: a list with 2 to 4 entries"):
        load_strict(file, Bicycle)
