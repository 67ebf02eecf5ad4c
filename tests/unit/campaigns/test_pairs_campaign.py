"""Which pairs are measured next: until a look has as many as it wants that can be used, and never without end."""

from __future__ import annotations

from harness.campaigns.pairs import missing, wanted_pairs
from harness.gate.pairs import BASELINE, Pair
from tests.unit.gate.gate_pairs import TPOT, drawn, whole_rule


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


def test_only_declared_looks_decide_whether_to_go_on() -> None:
    rule = whole_rule(looks=(4, 8))
    slow = drawn(16, loss={TPOT: 1.5})
    same_but_noisy = drawn(16, spread=0.2)
    assert wanted_pairs(rule, [], 1000, 10)[0] == 4
    assert wanted_pairs(rule, slow[:3], 1000, 10)[0] == 4, "three clear pairs are no look"
    assert wanted_pairs(rule, slow[:4], 1000, 10)[0] is None
    assert wanted_pairs(rule, same_but_noisy[:4], 1000, 10)[0] == 8
    assert wanted_pairs(rule, same_but_noisy[:6], 1000, 10)[0] == 8, "broken off between two looks"
    assert wanted_pairs(rule, same_but_noisy[:8], 1000, 10)[0] is None


def test_the_time_budget_ends_it_only_after_the_first_look() -> None:
    rule, noisy = whole_rule(looks=(4, 8)), drawn(8, spread=0.2)
    assert wanted_pairs(rule, noisy[:2], 0, 10)[0] == 4
    wanted, why = wanted_pairs(rule, noisy[:4], 39, 10)
    assert wanted is None
    assert "39 s are left" in why
