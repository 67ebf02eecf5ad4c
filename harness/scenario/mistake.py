"""One mistake in a YAML file: where it stands, which field it is in, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ScenarioError


@dataclass(frozen=True, order=True)
class Place:
    """Line and column, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class ShownPath:
    """The way to a field as people write it: `workload[0].output_tokens`."""

    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps).lstrip(".")


@dataclass(frozen=True)
class Mistake:
    """`field` is empty when the text is not even YAML."""

    place: Place
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def sorted_by_place(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """By line and column; of two equal ones, one."""
    return sorted(dict.fromkeys(mistakes), key=lambda mistake: (mistake.place, mistake.field))


def as_error(mistakes: Iterable[Mistake], path: Path) -> ScenarioError:
    """All mistakes of a file as one error, a line or two each: `file:line:column: field: what is wrong`."""
    lines = [f"{path}:{each.place.line}:{each.place.column}: {each}" for each in sorted_by_place(mistakes)]
    return ScenarioError("\n".join(lines))
