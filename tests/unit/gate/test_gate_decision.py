"""The decision over pairs, against closed forms, other people's code and its own promises."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.gate.decision import decide, next_look
from harness.gate.looks import crossing, level_of
from harness.gate.methods import gated
from harness.gate.pairs import Pair
from harness.gate.rule import Rule
from harness.gate.verdict import FAIL, INCONCLUSIVE, INVALID, PASS, MetricVerdict, Verdict
from tests.unit.gate.gate_pairs import CONTINUOUS, ERRORS, GOODPUT, LENGTH, TOKENS, TPOT, TTFT, drawn, of, whole_rule


def metric(verdict: Verdict, key: tuple[str, str]) -> MetricVerdict:
    return next(m for m in verdict.metrics if (m.metric, m.statistic) == key)


def test_one_metric_at_one_look_is_the_paired_t_test() -> None:
    pairs = drawn(6, loss={TOKENS: 0.02})
    rule = Rule((gated(*TOKENS, 0.05),), looks=(6,))
    said = metric(decide(rule, pairs), TOKENS)
    d = [-math.log(p.candidate[TOKENS].value / p.baseline[TOKENS].value) for p in pairs]  # type: ignore[operator]
    assert said.p_pass == pytest.approx(stats.ttest_1samp(d, math.log(1.05), alternative="less").pvalue)
    assert said.p_fail == pytest.approx(stats.ttest_1samp(d, math.log(1.05), alternative="greater").pvalue)
    interval = stats.ttest_1samp(d, 0).confidence_interval(0.90)
    assert (said.low, said.high) == pytest.approx((math.expm1(interval.low), math.expm1(interval.high)))
    assert said.effect == pytest.approx(math.expm1(np.mean(d)))


def test_holm_is_that_of_statsmodels() -> None:
    said = [metric(decide(whole_rule(), drawn(10, loss={TPOT: 0.1, TTFT: 0.08})), key) for key in CONTINUOUS]
    steady = [m for m in decide(whole_rule(), drawn(10)).metrics if (m.metric, m.statistic) in (ERRORS, LENGTH)]
    raw = [m.p_fail for m in said] + [m.p_fail for m in steady]
    adjusted = multipletests(raw, method="holm")[1]
    assert [m.p_fail_adjusted for m in said] == pytest.approx(list(adjusted[: len(said)]))


def test_the_level_of_equal_looks_is_pococks() -> None:
    assert level_of((5, 10, 15), 0.025) == pytest.approx(stats.norm.sf(2.289), rel=0.01), "Pocock 1977, table 1"
    assert level_of((8,), 0.05) == 0.05
    assert crossing((6, 10, 16), 2.0) == pytest.approx(_crossing_by_simulation((6, 10, 16), 2.0), abs=0.004)


def _crossing_by_simulation(looks: tuple[int, ...], bound: float) -> float:
    sums = np.random.default_rng(3).normal(size=(40_000, looks[-1])).cumsum(axis=1)
    return float(np.any([sums[:, n - 1] / math.sqrt(n) > bound for n in looks], axis=0).mean())


def shares(loss: dict[tuple[str, str], float], gates: int = 120) -> dict[int, dict[str, float]]:
    """Share of each status by look, of gates that stop once decided."""
    found: dict[int, list[str]] = {look: [] for look in (6, 10, 16)}
    rule = whole_rule()
    for seed in range(gates):
        pairs, status = drawn(16, seed, loss), INCONCLUSIVE
        for look, statuses in found.items():
            status = decide(rule, pairs[:look]).status if status == INCONCLUSIVE else status
            statuses.append(status)
    return {look: {s: statuses.count(s) / gates for s in (PASS, FAIL)} for look, statuses in found.items()}


def test_the_whole_rule_keeps_its_promises_in_simulation() -> None:
    same, edge, worse = shares({}), shares({TTFT: 0.05}), shares({TTFT: 0.10})
    assert same[10][PASS] >= 0.90
    assert same[16][PASS] >= 0.98
    assert edge[16][PASS] <= 0.10, "at most 7% in the long run; 120 gates scatter"
    assert worse[10][FAIL] >= 0.80, "at least 85% in the long run"
    assert worse[16][FAIL] >= 0.98


@pytest.mark.parametrize(("difference", "status"), [(0.0, PASS), (0.009, PASS), (0.02, FAIL)])
def test_errors_without_spread_are_decided_by_their_value(difference: float, status: str) -> None:
    rule = Rule((gated(*ERRORS),), looks=(6,))
    said = decide(rule, of(ERRORS, [(0.0, difference)] * 6))
    assert (said.status, said.metrics[0].method) == (status, "value")


@pytest.mark.parametrize(("factor", "status"), [(1.0, PASS), (0.95, PASS), (0.8, FAIL), (1.2, FAIL)])
def test_answers_that_are_shorter_or_longer_are_no_pass(factor: float, status: str) -> None:
    rule = Rule((gated(*LENGTH),), looks=(6,))
    assert decide(rule, of(LENGTH, [(100.0 + i, (100.0 + i) * factor) for i in range(6)])).status == status


def test_a_candidate_without_success_fails_and_a_baseline_without_one_is_invalid() -> None:
    pairs = [dataclasses.replace(p, baseline_ok=90, candidate_ok=0) for p in drawn(6)]
    assert decide(whole_rule(), pairs).status == FAIL
    pairs = [dataclasses.replace(p, baseline_ok=0, candidate_ok=90) for p in drawn(6)]
    assert decide(whole_rule(), pairs).status == INVALID


def test_fewer_than_four_pairs_decide_nothing() -> None:
    assert decide(whole_rule(), drawn(3, loss=dict.fromkeys(CONTINUOUS, 1.5))).status == INCONCLUSIVE
    assert decide(whole_rule(), []).status == INCONCLUSIVE


def test_a_missing_value_is_inconclusive_with_its_reason() -> None:
    pairs = drawn(6)
    pairs[2] = dataclasses.replace(pairs[2], candidate={k: v for k, v in pairs[2].candidate.items() if k != TTFT})
    said = metric(decide(whole_rule(), pairs), TTFT)
    assert (said.status, said.reason) == (INCONCLUSIVE, "missing in the candidate of pair 3 (not measured)")


def test_the_next_look_is_asked_for_until_the_pairs_decide() -> None:
    rule = whole_rule()
    assert next_look(rule, []) == 6
    assert next_look(rule, drawn(4)) == 6
    assert next_look(rule, drawn(6, loss=dict.fromkeys(CONTINUOUS, 1.5))) is None
    open_ones = drawn(16, loss={GOODPUT: 0.05})
    assert [next_look(rule, open_ones[:n]) for n in (6, 10, 16)] == [10, 16, None]


def test_worse_is_never_better_off_and_the_order_of_pairs_does_not_matter() -> None:
    pairs = drawn(10, loss={TPOT: 0.04})
    p_pass = [metric(decide(whole_rule(), _scaled(pairs, f)), TPOT).p_pass for f in (0.9, 0.97, 1.0, 1.03, 1.1)]
    assert p_pass == sorted(p_pass)  # type: ignore[type-var]
    assert decide(whole_rule(), pairs[::-1]).status == decide(whole_rule(), pairs).status


def _scaled(pairs: list[Pair], factor: float) -> list[Pair]:
    return [
        dataclasses.replace(
            p,
            candidate={
                **p.candidate,
                TPOT: dataclasses.replace(p.candidate[TPOT], value=p.candidate[TPOT].value * factor),
            },  # type: ignore[operator]
        )
        for p in pairs
    ]
