"""The gate for any data: monotone, and the same for other units, directions and orders of metrics."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate.decision import decide
from harness.gate.rule import Rule
from harness.gate.verdict import FAIL, PASS

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "gate"))

from simulated_pairs import THROUGHPUT, TTFT, WHOLE, pair, pairs

EFFECTS = st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=16)


@settings(max_examples=150, deadline=None)
@given(EFFECTS, st.data())
def test_worse_data_never_turn_fail_into_pass(effects, data):
    worse = [x + data.draw(st.sampled_from([0.0, 0.01, 0.3, 3.0])) for x in effects]
    for method in ("t", "signed_rank"):
        rule = Rule((replace(TTFT, method=method),), looks=(len(effects),))
        before, after = decide(pairs(effects), rule).status, decide(pairs(worse), rule).status
        assert (before, after) != (FAIL, PASS)


@settings(max_examples=60, deadline=None)
@given(EFFECTS, st.floats(1e-6, 1e9))
def test_units_do_not_matter(effects, scale):
    rule = Rule((TTFT,), looks=(len(effects),))
    one, other = (decide(pairs(effects, scale=s), rule).metrics[0] for s in (1.0, scale))
    assert one.status == other.status or min(abs(one.p_pass - 0.05), abs(one.p_fail - 0.05)) < 1e-6
    assert one.effect == pytest.approx(other.effect, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(EFFECTS)
def test_a_loss_is_a_loss_in_either_direction_of_better(effects):
    lower, higher = (
        decide(pairs(effects, m), Rule((replace(m, method="t"),), looks=(len(effects),))).metrics[0]
        for m in (TTFT, THROUGHPUT)
    )
    assert lower.effect == pytest.approx(higher.effect, rel=1e-9, abs=1e-9)
    assert lower.p_fail == pytest.approx(higher.p_fail, rel=1e-5, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6), min_size=6, max_size=6),
    st.permutations([*range(6)]),
)
def test_the_order_of_metrics_does_not_matter(rows, order):
    measured = [
        pair(i, {m: abs(d) if m.kind == "difference" else d for m, d in zip(WHOLE.metrics, row, strict=True)})
        for i, row in enumerate(rows)
    ]
    shuffled = Rule(tuple(WHOLE.metrics[i] for i in order))
    one, other = decide(measured, WHOLE), decide(measured, shuffled)
    assert one.status == other.status
    by_key = {(m.metric, m.statistic): m for m in other.metrics}
    for m in one.metrics:
        assert by_key[m.metric, m.statistic] == m


def test_infinitely_worse_data_do_not_pass_what_failed_before():
    effects = [0.04] * 13 + [3.0] * 3
    rule = Rule((replace(TTFT, method="t"),), looks=(16,))
    assert decide(pairs([*effects[:-1], math.log(1e300)]), rule).status != PASS
