"""What may stand at a place of a YAML file, read from the JSON Schema of its model.

A *branch* is one alternative without references: a plain JSON Schema of a number, a text, a list or a mapping. Branches
of a tagged union are narrowed by what the file says (`distribution: uniform` leaves the keys of Uniform).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.scenario.yaml_tree import Node

Branch = dict[str, Any]
_APART = ("null", "object")


def branches_at(schema: Branch, tree: Node, path: Sequence[str | int]) -> list[Branch]:
    """The alternatives at the end of `path`; empty when the schema knows no such place."""
    here: list[Branch] = _flatten(schema, schema)
    node: Node | None = tree
    for step in path:
        here = [inner for branch in narrowed(here, node) for inner in _below(branch, step, schema)]
        node = node.child(step) if node is not None else None
    return here


def narrowed(branches: list[Branch], node: Node | None) -> list[Branch]:
    """Of a mapping, the alternatives that its tags choose; all mappings when none is chosen."""
    if node is None or not isinstance(node.content, dict):
        return branches
    mappings = [branch for branch in branches if branch.get("type") == "object"]
    for key, value in node.content.items():
        chosen = [branch for branch in mappings if _constant(branch, key) == value.content is not None]
        mappings = chosen or mappings
    return mappings


def keys(branches: Iterable[Branch]) -> list[str]:
    """The keys that a mapping may have here, in the order of the schema."""
    return list(dict.fromkeys(key for branch in branches for key in branch.get("properties", {})))


def about(branches: Iterable[Branch], key: str) -> str:
    """The description of a key; empty when there is none."""
    found = (branch.get("properties", {}).get(key, {}).get("description") for branch in branches)
    return next((text for text in found if text), "")


def complete(branches: Iterable[Branch], written: set[str]) -> bool:
    """Whether some alternative has all it requires."""
    return any("properties" in branch and set(branch.get("required", ())) <= written for branch in branches)


def choices(branches: Iterable[Branch]) -> list[str]:
    """The words that may stand here; empty when it is not a choice of words."""
    return list(dict.fromkeys(str(word) for branch in branches for word in _words(branch)))


def phrase(branches: Sequence[Branch], schema: Branch) -> str:
    """All that may stand here, for people: `a whole number above 0, or a list of whole numbers above 0`."""
    words = choices(branches)
    others = [_one(branch, schema) for branch in branches if not _words(branch) and branch.get("type") not in _APART]
    mappings = [branch for branch in branches if branch.get("type") == "object"]
    said = ([", ".join(words)] if words else []) + others + ([_mapping(mappings)] if mappings else [])
    return ", or ".join(dict.fromkeys(said))


def _flatten(branch: Branch, schema: Branch) -> list[Branch]:
    """An alternative without `$ref`, `anyOf`, `oneOf`: the list of its own alternatives."""
    if "$ref" in branch:
        return _flatten(schema["$defs"][branch["$ref"].rpartition("/")[2]], schema)
    for union in ("anyOf", "oneOf"):
        if union in branch:
            return [flat for each in branch[union] for flat in _flatten(each, schema)]
    return [branch]


def _below(branch: Branch, step: str | int, schema: Branch) -> list[Branch]:
    if isinstance(step, int):
        inner = branch.get("items")
    else:
        any_key = next(iter(branch.get("patternProperties", {}).values()), None)
        inner = branch.get("properties", {}).get(step, any_key)
    return _flatten(inner, schema) if isinstance(inner, dict) else []


def _constant(branch: Branch, key: str) -> Any:
    return branch.get("properties", {}).get(key, {}).get("const")


def _words(branch: Branch) -> list[Any]:
    return [branch["const"]] if "const" in branch else list(branch.get("enum", ()))


def _one(branch: Branch, schema: Branch) -> str:
    kind = branch.get("type")
    if kind in ("integer", "number"):
        return f"a {'whole number' if kind == 'integer' else 'number'}{_range(branch)}"
    if kind == "array":
        items = phrase(_flatten(branch.get("items", {}), schema), schema)
        of_numbers = items.startswith(("a number", "a whole number"))
        name = f"a list of {items[2:].replace('number', 'numbers')}" if of_numbers else "a list"
        return name + _entries(branch)
    if kind == "boolean":
        return "true, false"
    return str(branch.get("patternErrorMessage", "text (in quotes if it looks like a number)"))


def _entries(branch: Branch) -> str:
    low, high = branch.get("minItems", 0), branch.get("maxItems")
    if high is not None:
        return f" with {low} to {high} entries"
    return f" with at least {low} entr{'y' if low == 1 else 'ies'}" if low else ""


def _mapping(branches: Sequence[Branch]) -> str:
    """Alternatives with a common tag are told by it, others by their keys."""
    names = keys(branches)
    for key in names if len(branches) > 1 else ():
        tags = [_constant(branch, key) for branch in branches]
        if all(tags):
            return f"a mapping with `{key}`: {', '.join(map(str, tags))}"
    return f"a mapping of {', '.join(names)}" if names else "a mapping"


def _range(branch: Branch) -> str:
    bounds = {
        "exclusiveMinimum": "above",
        "minimum": "of at least",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    said = " and ".join(f"{words} {branch[bound]}" for bound, words in bounds.items() if bound in branch)
    return f" {said}" if said else ""
