"""The median over repetitions where some values are only bounds, or missing."""

from __future__ import annotations

from harness.metrics.combine import combine
from harness.metrics.results import Value


def ns(value, **marks) -> Value:
    return Value(value, "ns", 10, **marks)


def test_one_repetition_stands_for_itself():
    only = ns(3, low=1, high=5, interval="order_statistic_95")
    assert combine([only]) is only


def test_above_ranks_behind_every_number():
    middle = combine([ns(1, above=True), ns(5), ns(7)])
    assert (middle.value, middle.above, middle.low, middle.high) == (7, False, 5, None)


def test_a_median_among_bounds_is_a_bound():
    assert combine([ns(1, above=True), ns(2, above=True), ns(7)]).above
    even = combine([ns(4), ns(6, above=True)])
    assert (even.value, even.above) == (5, True)


def test_below_ranks_before_every_number():
    middle = combine([ns(9, below=True), ns(5), ns(7)])
    assert (middle.value, middle.below, middle.low, middle.high) == (5, False, None, 7)


def test_a_missing_repetition_leaves_no_value_for_the_point():
    missing = combine([ns(1), ns(None, reason="needs 72 requests")])
    assert missing.value is None
    assert missing.reason == "needs 72 requests (in 1 of 2 repetitions)"


def test_the_same_reason_everywhere_is_said_once():
    reason = "not available: no per-request bound"
    assert combine([ns(None, reason=reason), ns(None, reason=reason)]).reason == reason
