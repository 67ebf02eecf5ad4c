"""Which pairs are measured next: until a look has as many as it wants that can be used, and never without end."""

from __future__ import annotations

from harness.campaigns.pairs import missing
from harness.gate.pairs import BASELINE, Pair


def pairs(*numbers: int, unusable: tuple[int, ...] = ()) -> list[Pair]:
    return [Pair(n, BASELINE, {}, {}, ("why",) if n in unusable else ()) for n in numbers]


def test_a_look_measures_what_it_lacks() -> None:
    assert missing([], 6, 24) == [0, 1, 2, 3, 4, 5]
    assert missing(pairs(0, 1, 2, 3, 4, 5), 10, 24) == [6, 7, 8, 9]
    assert missing(pairs(0, 1, 2, 3, 4, 5), None, 24) == []


def test_a_pair_that_cannot_be_used_is_replaced_by_another() -> None:
    assert missing(pairs(0, 1, 2, 3, 4, 5, unusable=(2, 4)), 6, 24) == [6, 7]


def test_a_pair_that_was_broken_off_is_measured_again() -> None:
    assert missing(pairs(0, 1, 3), 6, 24) == [2, 4, 5]


def test_there_is_an_end() -> None:
    assert missing(pairs(*range(6), unusable=(0, 1, 2)), 6, 24) == [6, 7, 8]
    assert missing(pairs(*range(9), unusable=(0, 1, 2, 6)), 6, 24) == [], "the arm is INVALID anyway"
    assert missing(pairs(*range(9), unusable=tuple(range(9))), 6, 9) == []
