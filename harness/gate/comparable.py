"""May two measurements be compared? Every identity field of both sides: same, declared, undeclared, or unknown.

A declared difference is the treatment: what the comparison is about. An undeclared one in a blocking field makes the
two NOT_COMPARABLE. Which fields block, and why: `facts/statistics-telemetry-platform.md` §1.4 and the table here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.gate.verdict import FieldComparison

Status = Literal["same", "declared", "undeclared", "unknown"]

# A field blocks unless its name begins with one of these groups: they are shown, and a difference is a warning.
WARNS_ONLY = ("gpu", "host", "network", "server", "target", "harness.version", "scenario.name")

# What the two arms of a pair may differ in by construction: two deployments of one scenario, measured together.
TREATMENT_OF_PAIR = ("engine", "setting", "tokenizer", "endpoint.model", "server", "target", "network")


@dataclass(frozen=True)
class Identity:
    """What one measurement was made of. Values are plain JSON; a field that could not be told is None or absent."""

    fields: Mapping[str, Any]


def compare(baseline: Identity, candidate: Identity, declared: Collection[str] = ()) -> list[FieldComparison]:
    """Every field that either side has, in the order in which `identity` tells them.

    `declared`: names of fields, or of groups of them (`engine` holds `engine.hash`), whose difference is the treatment.
    """
    names = list(dict.fromkeys([*baseline.fields, *candidate.fields]))
    return [_compared(name, baseline.fields.get(name), candidate.fields.get(name), declared) for name in names]


def unknown_names(declared: Collection[str], *sides: Identity) -> list[str]:
    """Those of the declared names that are neither a field of a side nor a group of them."""
    names = {name for side in sides for name in side.fields}
    return [each for each in declared if not any(in_groups(name, [each]) for name in names)]


def blocking_differences(compared: Sequence[FieldComparison]) -> list[FieldComparison]:
    """The undeclared differences that make two measurements NOT_COMPARABLE."""
    return [field for field in compared if field.status == "undeclared" and field.blocking]


def other_differences(compared: Sequence[FieldComparison]) -> list[FieldComparison]:
    """The undeclared differences that only warn."""
    return [field for field in compared if field.status == "undeclared" and not field.blocking]


def blocks(name: str) -> bool:
    """Whether an undeclared difference in this field makes two measurements NOT_COMPARABLE."""
    return not in_groups(name, WARNS_ONLY)


def in_groups(name: str, groups: Collection[str]) -> bool:
    """Whether a field is one of these, or belongs to one of these groups."""
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def in_words(field: FieldComparison) -> str:
    """`setting.max_batch_size: 16 → 8`."""
    return f"{field.name}: {shown(field.baseline)} → {shown(field.candidate)}"


def shown(value: Any) -> str:
    """A value of an identity field for people."""
    if value is None:
        return "unknown"
    return "; ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _compared(name: str, baseline: Any, candidate: Any, declared: Collection[str]) -> FieldComparison:
    return FieldComparison(name, baseline, candidate, _status(name, baseline, candidate, declared), blocks(name))


def _status(name: str, baseline: Any, candidate: Any, declared: Collection[str]) -> Status:
    if baseline is None or candidate is None:
        return "unknown"
    if baseline == candidate:
        return "same"
    return "declared" if in_groups(name, declared) else "undeclared"
