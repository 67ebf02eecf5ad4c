"""Strict YAML files for any model: text in, model out, or every mistake of the file in one error.

The one way in for everything that a person writes in YAML (scenarios, engine specs). Not here: what a scenario refers
to outside of its file, which `surroundings` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import ScenarioError
from harness.scenario.mistake import as_error
from harness.scenario.surroundings import Surroundings
from harness.scenario.validation import mistakes_of
from harness.scenario.yaml_tree import NotYaml, parse

T = TypeVar("T", bound=BaseModel)


def load_strict(path: Path, model: type[T]) -> tuple[T, str]:
    """The file as a model, and its text. Raises ScenarioError naming every mistake with file, line and field."""
    text = text_of(path)
    return read_strict(text, model, path), text


def read_strict(text: str, model: type[T], path: Path, surroundings: Surroundings | None = None) -> T:
    """The text of the file `path` as a model; what it refers to is looked up in `surroundings`, if given.

    Raises ScenarioError naming every mistake with file, line and field.
    """
    try:
        tree, mistakes = parse(text)
    except NotYaml as error:
        raise as_error([error.mistake], path) from None
    try:
        value = model.model_validate(tree.plain(), context=surroundings)
    except ValidationError as error:
        raise as_error([*mistakes, *mistakes_of(error, tree, model)], path) from None
    if mistakes:
        raise as_error(mistakes, path)
    return value


def text_of(path: Path) -> str:
    """The text of a file in UTF-8. Raises ScenarioError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: is not a text file in UTF-8", hint="save it with the encoding UTF-8") from error
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from error
