"""When two instruments agree, differ, or cannot be told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from harness.analysis.agreement import AGREE, CANNOT_TELL, COMPARED, DIFFER, Agreement, Seen, compare, decide, overall
from harness.metrics.percentile import Sample, statistics
from harness.metrics.results import POINT_VALUE, PointSummary, RepetitionSummary, Statistics, Value

MS = 1e6


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [
        (Seen(50, 49, 51), Seen(50.5, 49, 52), AGREE),
        (Seen(50, 49, 51), Seen(60, 58, 62), DIFFER),
        (Seen(50, 49, 51), Seen(60, 58, 62, error=8), AGREE),
        (Seen(50, 30, 70), Seen(52, 35, 75), CANNOT_TELL),
        (Seen(50, 49, 51), Seen(53, 51.5, 54), DIFFER),
        (Seen(50, 49, 51, error=1), Seen(53, 51.5, 54), AGREE),
        (Seen(20, 20, 20), Seen(20, 20, 20), AGREE),
        (Seen(20, 20, 20), Seen(19, 19, 19), DIFFER),
    ],
)
def test_the_verdict_follows_from_intervals_and_instrument_errors(left: Seen, right: Seen, verdict: str) -> None:
    assert decide(left, right) == verdict
    assert decide(right, left) == verdict, "it does not matter who stands left"


def test_a_larger_instrument_error_never_makes_two_values_differ() -> None:
    draws = np.random.default_rng(3).uniform(1, 100, (300, 4))
    for a, b, width, error in draws:
        left, right = Seen(a, a - width / 9, a + width / 9), Seen(b, b - width / 9, b + width / 9)
        verdicts = [decide(Seen(left.value, left.low, left.high, e), right) for e in (0, error, 10 * error)]
        order = [DIFFER, CANNOT_TELL, AGREE]
        assert [order.index(verdict) for verdict in verdicts] == sorted(order.index(verdict) for verdict in verdicts)


def _times(seed: int, n: int, shift_ms: float = 0.0) -> Statistics:
    values = np.random.default_rng(seed).normal(50 + shift_ms, 1, n) * MS
    return statistics(Sample(values), "ns")


def _summary(seed: int, n: int = 400, shift_ms: float = 0.0, rate: float = 40.0, tokens: float = 20.0) -> PointSummary:
    metrics: dict[str, Mapping[str, Value]] = {
        metric: _times(seed + number, n, shift_ms)
        for number, metric in enumerate(COMPARED)
        if metric.endswith(("send", "latency"))
    }
    metrics["request_throughput"] = {POINT_VALUE: Value(rate, "per_s", n)}
    metrics["output_token_throughput"] = {POINT_VALUE: Value(rate * tokens, "per_s", n)}
    metrics["output_tokens"] = {"mean": Value(tokens, "tokens", n)}
    repetition = RepetitionSummary("p", None, 0, True, 10.0, n, {}, rate, rate, metrics)
    return PointSummary("p", None, [repetition], metrics)


def _verdicts(found: list[Agreement]) -> dict[tuple[str, str], str]:
    return {(each.metric, each.statistic): each.verdict for each in found}


def test_two_views_of_the_same_server_agree() -> None:
    found = compare(_summary(1), _summary(2), in_flight=4, error_of={})
    assert overall(found) == AGREE
    assert set(_verdicts(found)) == {(metric, name) for metric, names in COMPARED.items() for name in names}


def test_an_instrument_that_adds_its_own_delay_differs_unless_it_says_so() -> None:
    slow = _summary(2, shift_ms=6)
    assert overall(compare(_summary(1), slow, in_flight=4, error_of={})) == DIFFER
    admitted = {(metric, name): (0.0, 7 * MS) for metric in COMPARED for name in ("p50", "p90", "p99")}
    assert overall(compare(_summary(1), slow, in_flight=4, error_of=admitted)) == AGREE


def test_a_lost_token_per_request_is_seen() -> None:
    found = compare(_summary(1), _summary(2, tokens=19), in_flight=4, error_of={})
    assert _verdicts(found)["output_tokens", "mean"] == DIFFER


def test_too_few_requests_cannot_tell_and_say_how_many_are_needed() -> None:
    found = compare(_summary(1, n=5), _summary(2, n=5), in_flight=4, error_of={})
    medians = [each for each in found if each.statistic == "p50"]
    assert {each.verdict for each in medians} == {CANNOT_TELL}
    assert medians[0].reason == "needs 6 requests"
    assert overall(found) == CANNOT_TELL


def test_nothing_compared_is_no_agreement() -> None:
    assert overall([]) == CANNOT_TELL


def test_a_percentile_among_failures_cannot_be_compared() -> None:
    failing = statistics(Sample(np.full(100, 50 * MS), np.full(300, 10 * MS)), "ns")
    left = _summary(1)
    metrics = {**left.metrics, "inter_chunk_latency": failing}
    broken = PointSummary("p", None, [dataclasses.replace(left.repetitions[0], metrics=metrics)], metrics)
    found = compare(left, broken, in_flight=4, error_of={})
    assert _verdicts(found)["inter_chunk_latency", "p50"] == CANNOT_TELL
    assert overall(found) == CANNOT_TELL


def test_a_server_that_drifts_between_repetitions_is_no_difference_of_the_instruments() -> None:
    calm, drifted = _summary(1), _summary(2, shift_ms=6)
    drifting = PointSummary("p", None, [*calm.repetitions, *drifted.repetitions], calm.metrics)
    assert overall(compare(calm, drifted, in_flight=4, error_of={})) == DIFFER
    assert overall(compare(drifting, drifted, in_flight=4, error_of={})) == CANNOT_TELL
