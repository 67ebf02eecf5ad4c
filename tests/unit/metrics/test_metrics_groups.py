"""Groups of a cohort, against the slow oracle over only the rows of the group; and what became of a schedule."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness.metrics import groups
from harness.metrics.bounds import bound_from
from harness.metrics.columns import by_repetition
from harness.metrics.groups import Group
from harness.metrics.repetition import Repetition
from harness.metrics.results import PointSummary, RepetitionSummary
from harness.metrics.schedule import offered_rate, sent_late, unsent
from harness.metrics.summary import repetitions
from tests.oracle.metrics_oracle import Oracle, percentile
from tests.oracle.runs import MS, T0, at, failed_row, manifest, measurement, row, table

WINDOW = (T0 + 200 * MS, T0 + 900 * MS)
LIMIT_MS = 60.0


def _rows(seed: int, n: int) -> list[dict[str, Any]]:
    source = random.Random(seed)
    rows = []
    for index in range(n):
        sent, waited = source.uniform(100, 1_000), source.uniform(20, 100)
        labels = {"tenant": source.choice(["a", "b"]), "session_id": f"s{index // 3}", "turn": index % 3}
        if source.random() < 0.1:
            rows.append(failed_row(index, done_ms=sent + 50, sent_ns=at(sent), **labels))
            continue
        instants = {"first_token_ns": at(sent + waited), "last_token_ns": at(sent + 120), "done_ns": at(sent + 121)}
        rows.append(row(index, sent_ns=at(sent), **instants, **labels))
    return rows


def _repetition(rows: list[dict[str, Any]], *, open_loop: bool = False, bound_ms: float | None = None) -> Repetition:
    run = manifest([measurement(len(rows))], open_loop=open_loop)
    bounds = [] if bound_ms is None else [bound_from("time_to_first_token", "at_most_ms", bound_ms)]
    ((_, r),) = repetitions(run, run.points[0], by_repetition(table(rows)), bounds)
    assert r is not None
    return r


def _agrees(group: Group, rows: list[dict[str, Any]], until: int, bound_ms: float) -> None:
    oracle = Oracle(rows, window=WINDOW, until=until, open_loop=False, bounds={"time_to_first_token": bound_ms * MS})
    assert group.requests == len(oracle.cohort) > 0
    assert group.error_ratio.value == pytest.approx(oracle.error_ratio())
    assert group.goodput.value == pytest.approx(oracle.goodput())
    assert group.attainment.value == pytest.approx(oracle.attainment())
    expected = percentile(oracle.entries("time_to_first_token"), "p50")
    assert expected is not None
    kind, value = expected
    median = group.time_to_first_token["p50"]
    assert (median.value, median.above) == (pytest.approx(float(value)), kind == "above")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("column", ["tenant", "turn"])
def test_a_group_is_what_the_oracle_says_of_its_rows_alone(seed: int, column: str) -> None:
    rows = _rows(seed, 90)
    r = _repetition(rows, bound_ms=LIMIT_MS)
    found = groups.tenants(r, {}) if column == "tenant" else groups.turns(r)
    assert [group.name for group in found] == sorted({str(one[column]) for one in rows})
    for group in found:
        own = [one for one in rows if str(one[column]) == group.name]
        _agrees(group, own, r.window.until_ns, LIMIT_MS)


def test_a_tenant_is_also_held_to_its_own_bounds() -> None:
    r = _repetition(_rows(1, 90), bound_ms=90.0)
    strict = {"a": [bound_from("time_to_first_token", "at_most_ms", 30.0)]}
    (loose_a, loose_b), (a, b) = groups.tenants(r, {}), groups.tenants(r, strict)
    assert (a.goodput.value or 0) < (loose_a.goodput.value or 0)
    assert b == loose_b


def test_without_a_bound_goodput_is_not_available_and_says_why() -> None:
    (only,) = groups.tenants(_repetition([row(0)]), {})
    assert (only.goodput.value, only.goodput.reason) == (None, "not available: no per-request bound")
    assert only.error_ratio.value == 0


def test_requests_outside_of_conversations_have_no_turns() -> None:
    assert groups.turns(_repetition([row(0), row(1)])) == []


def test_repetitions_are_not_pooled_but_give_a_median_and_a_range() -> None:
    each = [groups.tenants(_repetition(_rows(seed, 60)), {}) for seed in (1, 2, 3)]
    combined = groups.over_repetitions(each)
    medians = sorted(one[0].time_to_first_token["p50"].value or 0.0 for one in each)
    first = combined[0].time_to_first_token["p50"]
    assert (first.low, first.value, first.high) == tuple(medians)
    assert combined[0].requests == sum(one[0].requests for one in each)


def _late_row(index: int, intended_ms: float, lag_ms: float) -> dict[str, Any]:
    return row(index, intended_ns=at(intended_ms), sent_ns=at(intended_ms + lag_ms))


def test_late_sends_are_counted_in_the_cohort_of_an_open_loop_only() -> None:
    rows = [_late_row(0, 300, 5), _late_row(1, 400, 150), _late_row(2, 500, 100), _late_row(3, 950, 500)]
    assert sent_late(_repetition(rows, open_loop=True), 100 * MS) == 1
    assert sent_late(_repetition(rows), 100 * MS) == 0


def _summary(number: int, offered: float, outcomes: dict[str, int]) -> RepetitionSummary:
    return RepetitionSummary("p", None, number, True, 1.0, 10, outcomes, offered, 0.0, {})


def test_the_offered_rate_is_the_median_of_repetitions_and_the_unsent_are_summed() -> None:
    found = PointSummary(
        "p", None, [_summary(n, rate, {"ok": 5, "not_sent": n}) for n, rate in enumerate((9, 12, 10))], {}
    )
    rate = offered_rate(found)
    assert (rate.low, rate.value, rate.high) == (9, 10, 12)
    assert unsent(found) == 3


def test_without_a_window_there_is_no_offered_rate() -> None:
    assert offered_rate(PointSummary("p", None, [], {})).reason == "not available: no window was opened"
