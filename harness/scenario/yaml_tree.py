"""YAML text as a tree whose every node knows its line and column.

A small, strict YAML: the scalars of YAML 1.2's core schema (only true and false are booleans, so that the key `on` is
a word; no dates, no sexagesimals), no anchors, aliases, tags or second document, and no key twice. Lines and columns
count from 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from harness.scenario.mistake import Mistake, Place, ShownPath, sorted_by_place

Scalar = str | int | float | bool | None

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")  # longer ones stay text: Python refuses to convert thousands of digits
_FLOAT = re.compile(r"(?=.*[.eE])[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# Part of PyYAML's wording, ours, and whether to point at where the broken thing begins instead of where it ends.
_PLAINER: tuple[tuple[str, str, bool], ...] = (
    (r"'\t'", "a tab cannot indent or begin a value in YAML: use spaces", False),
    (
        "mapping values are not allowed",
        "unexpected `:`: check the indentation and the line above, or put the value in quotes",
        False,
    ),
    ("expected <block end>", "this line does not fit the lines above: check the indentation", False),
    ("could not find expected ':'", "expected `key: value`", True),
    ("unexpected end of stream", "a quote is opened and never closed", True),
    ("expected ',' or", "a bracket is opened here and not closed, or a comma is missing", True),
    ("another document", "only one document per file: remove the `---`", False),
)


@dataclass(frozen=True)
class Node:
    """A scalar, a list or a mapping of the file. `key` is where its key stands, when it has one; `text` as written."""

    content: Scalar | list[Node] | dict[str, Node]
    at: Place
    text: str = ""
    key: Place | None = field(default=None)

    @property
    def head(self) -> Place:
        """Where a person looks for it: the line of its key, else its own beginning."""
        return self.key or self.at

    def child(self, step: str | int) -> Node | None:
        """The value under a key or at an index, if there is one."""
        if isinstance(self.content, dict) and isinstance(step, str):
            return self.content.get(step)
        if isinstance(self.content, list) and isinstance(step, int) and step < len(self.content):
            return self.content[step]
        return None

    def plain(self) -> object:
        """The value as plain Python."""
        if isinstance(self.content, dict):
            return {key: value.plain() for key, value in self.content.items()}
        if isinstance(self.content, list):
            return [item.plain() for item in self.content]
        return self.content

    def shown(self) -> str:
        """The value as a message shows it."""
        if isinstance(self.content, dict):
            return "a mapping"
        if isinstance(self.content, list):
            return f"a list of {len(self.content)}" if self.content else "an empty list"
        if self.content is None:
            return "nothing"
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return repr(text) if isinstance(self.content, str) else text


class NotYaml(Exception):
    """The text is no YAML of ours at all; `mistake` says where and why."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


def parse(text: str) -> tuple[Node, list[Mistake]]:
    """The tree of a YAML text, and the keys that stand twice in it. Raises NotYaml when there is no tree."""
    try:
        root = _Composer(text).get_single_node()
        if root is None:
            raise NotYaml(Mistake(Place(1, 1), "", "the file is empty"))
        mistakes: list[Mistake] = []
        return _node(root, (), mistakes), sorted_by_place(mistakes)
    except yaml.MarkedYAMLError as error:
        raise NotYaml(_syntax_mistake(error)) from error
    except ReaderError as error:
        raise NotYaml(_unreadable_character(text, error)) from error
    except RecursionError as error:
        raise NotYaml(Mistake(Place(1, 1), "", "nested too deeply")) from error


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's composer without anchors, aliases and tags; scalars stay text until `_scalar`."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases (`&`, `*`) are not used here: write the value out, or put it in quotes",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="tags (`!`) are not used here: put the value in quotes", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


def _node(raw: yaml.Node, path: tuple[str | int, ...], mistakes: list[Mistake]) -> Node:
    at = _place(raw.start_mark)
    if isinstance(raw, yaml.ScalarNode):
        return Node(_scalar(raw), at, raw.value)
    if isinstance(raw, yaml.SequenceNode):
        return Node([_node(item, (*path, index), mistakes) for index, item in enumerate(raw.value)], at)
    return Node(_mapping(raw, path, mistakes), at)


def _mapping(raw: yaml.Node, path: tuple[str | int, ...], mistakes: list[Mistake]) -> dict[str, Node]:
    content: dict[str, Node] = {}
    for raw_key, raw_value in raw.value:
        place = _place(raw_key.start_mark)
        if not isinstance(raw_key, yaml.ScalarNode):
            mistakes.append(Mistake(place, str(ShownPath(path)), "a key must be a word"))
            continue
        name = raw_key.value
        value = replace(_node(raw_value, (*path, name), mistakes), key=place)
        if name in content:
            first = content[name].head.line
            mistakes.append(Mistake(place, str(ShownPath((*path, name))), f"stands twice: first on line {first}"))
        else:
            content[name] = value
    return content


def _scalar(raw: yaml.ScalarNode) -> Scalar:
    text: str = raw.value
    if raw.style is not None:  # in quotes, or a block of text
        return text
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _syntax_mistake(error: yaml.MarkedYAMLError) -> Mistake:
    problem = error.problem or "this is not YAML"
    message, at_its_beginning = next((ours for theirs, *ours in _PLAINER if theirs in problem), (problem, False))
    mark = (error.context_mark if at_its_beginning else None) or error.problem_mark
    return Mistake(_place(mark) if mark is not None else Place(1, 1), "", str(message))


def _unreadable_character(text: str, error: ReaderError) -> Mistake:
    before = text[: error.position].split("\n")
    message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
    return Mistake(Place(len(before), len(before[-1]) + 1), "", message)
