"""The table of exit codes and the precedence when several endings hold."""

from __future__ import annotations

import itertools

import pytest

from harness import errors
from harness.errors import Ending, HarnessError, worst


def test_the_codes_are_those_of_the_documentation() -> None:
    assert {ending.name: ending.code for ending in Ending} == {
        "PASS": 0,
        "FAIL": 1,
        "USAGE": 2,
        "INVALID": 3,
        "INCONCLUSIVE": 4,
        "NOT_COMPARABLE": 4,
        "TARGET_NOT_READY": 5,
        "DRIVER_FAILED": 6,
        "BUG": 70,
        "INTERRUPTED": 130,
    }
    assert all(ending.meaning and "\n" not in ending.meaning for ending in Ending)


def test_the_worst_ending_decides() -> None:
    order = ["BUG", "USAGE", "INTERRUPTED", "TARGET_NOT_READY", "DRIVER_FAILED", "INVALID", "NOT_COMPARABLE"]
    order += ["FAIL", "INCONCLUSIVE", "PASS"]
    for worse, better in itertools.combinations(order, 2):
        assert worst([Ending[better], Ending[worse]]) is Ending[worse]
    assert worst([]) is Ending.PASS


@pytest.mark.parametrize(
    "kind", [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, HarnessError)]
)
def test_every_error_has_an_ending_and_shows_its_hint(kind: type[HarnessError]) -> None:
    assert isinstance(kind.ending, Ending)
    assert str(kind("what", hint="do this")) == "what\n  do this"
    assert str(kind("what")) == "what"
