"""Pydantic's errors as mistakes with line, field and the nearest right spelling.

Pydantic's locations name steps that do not stand in the file (the tag of a union, the levels that a short form leaves
out): they are followed through the tree of the file, and steps that are not there are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.scenario import allowed
from harness.scenario.mistake import Mistake, Place, ShownPath, sorted_by_place
from harness.scenario.spelling import nearest
from harness.scenario.yaml_tree import Node

Step = str | int
_NEXT_LINE = "\n    "
_KEY_NAMES = "names of headers are lower-case letters, digits, `.`, `_`, `-`"
Way = list[tuple[tuple[Step, ...], Node]]


@dataclass
class _Keys:
    """The key mistakes of one mapping: they are judged together, so that a misspelt key is not also a missing one."""

    path: tuple[Step, ...]
    node: Node
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def mistakes_of(error: ValidationError, tree: Node, model: type[BaseModel]) -> list[Mistake]:
    """Every mistake of the file that was read as `tree`, sorted by line."""
    schema = model.model_json_schema()
    mappings: dict[tuple[Step, ...], _Keys] = {}
    found: list[Mistake] = []
    for detail in error.errors(include_input=False):
        way = _follow(tree, (*detail["loc"], *detail.get("ctx", {}).get("at", ())))
        kind = detail["type"]
        if kind in ("missing", "extra_forbidden"):
            keys = _keys_of(way, mappings, str(detail["loc"][-1]) if kind == "extra_forbidden" else None)
            (keys.missing if kind == "missing" else keys.unknown).append(str(detail["loc"][-1]))
        elif kind in ("union_tag_not_found", "union_tag_invalid"):
            found += _tag_mistakes(detail, way, mappings, schema, tree)
        else:
            found.append(_value_mistake(detail, way, schema, tree))
    for keys in mappings.values():
        branches = allowed.branches_at(schema, tree, keys.path)
        found += _key_mistakes(keys, allowed.narrowed(branches, keys.node))
    return sorted_by_place(found)


def _follow(tree: Node, steps: Iterable[Step]) -> Way:
    """The nodes passed on the way down, the root first; steps that the file does not have are skipped."""
    way: Way = [((), tree)]
    for step in steps:
        path, node = way[-1]
        inner = node.child(step)
        if inner is not None:
            way.append(((*path, step), inner))
    return way


def _keys_of(way: Way, mappings: dict[tuple[Step, ...], _Keys], having: str | None) -> _Keys:
    """The innermost mapping on the way (that has the key `having`)."""
    fitting = [
        (path, node)
        for path, node in way
        if isinstance(node.content, dict) and (having is None or having in node.content)
    ]
    path, node = fitting[-1]
    return mappings.setdefault(path, _Keys(path, node))


def _tag_mistakes(
    detail: Any, way: Way, mappings: dict[tuple[Step, ...], _Keys], schema: allowed.Branch, tree: Node
) -> list[Mistake]:
    """A union's tag is missing or wrong: which keys its mapping may have is not known, but some it may not at all."""
    tag = str(detail["ctx"]["discriminator"]).strip("'")
    keys = _keys_of(way, mappings, None)
    known = allowed.keys(allowed.narrowed(allowed.branches_at(schema, tree, keys.path), keys.node))
    content = _content(keys.node)
    keys.unknown += [key for key in content if key not in known]
    if detail["type"] == "union_tag_not_found":
        keys.missing.append(tag)
        return []
    return [_not_allowed((*keys.path, tag), content[tag], schema, tree)]


def _key_mistakes(keys: _Keys, branches: Sequence[allowed.Branch]) -> list[Mistake]:
    content = _content(keys.node)
    known = allowed.keys(branches)
    unwritten = [key for key in known if key not in content]
    meant = {key: nearest(key, keys.missing) or nearest(key, unwritten) for key in keys.unknown}
    found = []
    for key, suggestion in meant.items():
        message = (
            f"unknown key, did you mean `{suggestion}`?"
            if suggestion
            else f"unknown key; allowed here: {', '.join(known)}"
        )
        found.append(Mistake(content[key].head, str(ShownPath((*keys.path, key))), message))
    corrected = (set(content) - set(keys.unknown)) | {word for word in meant.values() if word}
    if meant and allowed.complete(branches, corrected):
        return found  # with the spelling put right, nothing is missing
    for key in dict.fromkeys(keys.missing):
        if key not in corrected:
            found.append(Mistake(keys.node.head, str(ShownPath((*keys.path, key))), _missing(key, branches)))
    return found


def _missing(key: str, branches: Sequence[allowed.Branch]) -> str:
    inner = [branch["properties"][key] for branch in branches if key in branch.get("properties", {})]
    words = allowed.choices(inner)
    said = f"allowed: {', '.join(words)}" if words else allowed.about(branches, key)
    return f"`{key}` is missing" + (f": {said}" if said else "")


def _value_mistake(detail: Any, way: Way, schema: allowed.Branch, tree: Node) -> Mistake:
    path, node = way[-1]
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return Mistake(node.head, str(ShownPath(path)), f"not a name that is allowed here; {_KEY_NAMES}")
    own = _own_words(detail)
    if own is None:
        return _not_allowed(path, node, schema, tree)
    return Mistake(_place(node), str(ShownPath(path)), own)


def _own_words(detail: Any) -> str | None:
    """The message of a validator of ours; None for pydantic's own errors, which the schema explains better."""
    if detail["type"] in ("value_error", "assertion_error"):
        return str(detail["ctx"]["error"])
    return None if "url" in detail else str(detail["msg"])


def _not_allowed(path: tuple[Step, ...], node: Node, schema: allowed.Branch, tree: Node) -> Mistake:
    branches = allowed.branches_at(schema, tree, path)
    words = allowed.choices(branches)
    meant = nearest(node.text, words) if isinstance(node.content, str) else None
    hint = f", did you mean `{meant}`?" if meant else ";"
    fitting = allowed.phrase(branches, schema)
    gap = _NEXT_LINE if len(fitting) > 80 else " "
    return Mistake(_place(node), str(ShownPath(path)), f"found {node.shown()}{hint}{gap}allowed: {fitting}")


def _place(node: Node) -> Place:
    return node.head if isinstance(node.content, dict | list) else node.at


def _content(node: Node) -> dict[str, Node]:
    return node.content if isinstance(node.content, dict) else {}
