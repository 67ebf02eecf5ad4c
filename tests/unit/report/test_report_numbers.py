"""How values look: digits, units, bounds, intervals, and the words that stand where there is no number."""

from __future__ import annotations

import pytest

from harness.metrics.results import Value
from harness.report.numbers import Footnotes, cell, digits, exactly, lookup, plain, span
from harness.report.shown import Cell


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (0.0123, "0.012"),
        (0.5, "0.50"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (1234.4, "1234"),
        (12345.6, "12\u202f346"),
    ],
)
def test_numbers_show_three_digits(number: float, text: str) -> None:
    assert digits(number) == text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_shown_as_one(number: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        digits(number)


def test_nanoseconds_are_shown_as_milliseconds_and_ratios_as_percent() -> None:
    assert plain(Value(512_300_000.0, "ns", 9)) == "512 ms"
    assert plain(Value(0.015, "ratio", 9)) == "1.50%"
    assert plain(Value(3.0, "per_s", 9)) == "3.00 per second"


def test_a_limit_is_shown_as_it_was_written() -> None:
    assert [exactly(number) for number in (400.0, 0.5, 1.25)] == ["400", "0.5", "1.25"]


def test_a_censored_value_is_shown_as_a_bound() -> None:
    notes = Footnotes()
    assert cell(Value(4e9, "ns", 80, above=True), notes) == Cell("> 4000", "", "bound")
    assert cell(Value(2.0, "per_s", 80, below=True), notes) == Cell("< 2.00", "", "bound")


def test_too_few_requests_stand_in_the_cell_and_other_reasons_in_a_footnote() -> None:
    notes = Footnotes()
    few = cell(Value(None, "ns", 9, reason="needs 72 requests (in 1 of 2 repetitions)"), notes)
    assert (few.text, few.detail, few.footnote) == ("needs 72", "requests, in 1 of 2 repetitions", None)
    long = Value(None, "ns", 9, reason="not available: chunks carry 2 tokens")
    assert [cell(long, notes).footnote, cell(long, notes).footnote] == [1, 1]
    assert notes.texts == ["not available: chunks carry 2 tokens"]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(1e6, 2e6, "1.00–2.00"), (1e6, None, "≥ 1.00"), (None, 2e6, "≤ 2.00"), (2e6, 2e6, ""), (None, None, "")],
)
def test_intervals_show_open_ends_and_hide_those_without_width(
    low: float | None, high: float | None, text: str
) -> None:
    assert span(Value(2e6, "ns", 9, low, high, "range")) == text


def test_a_metric_that_is_missing_as_a_whole_says_why() -> None:
    reason = "not available: a closed loop has no schedule"
    metrics = {"schedule_lag": {"p50": Value(None, "ns", 0, reason=reason)}}
    assert lookup(metrics, "schedule_lag", "p95").reason == reason
    assert "not available" in (lookup(metrics, "unheard_of", "p50").reason or "")
