"""The rule as a whole: what counts, what never decides, and how often it errs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from simulated_pairs import ERRORS, LENGTH, THROUGHPUT, TTFT, WHOLE, noisy, pair, pairs, value

from harness.gate.decision import decide
from harness.gate.injection import inject, self_check
from harness.gate.looks import next_look
from harness.gate.rule import Rule
from harness.gate.spread import clopper_pearson, false_alarms, sequential, spreads
from harness.gate.verdict import FAIL, INCONCLUSIVE, INVALID, PASS

ONE = Rule((TTFT,), looks=(6,))
NOISE = (0.01, -0.02, 0.015, -0.005, 0.02, -0.01)


def changed(pair, arm, key, new):
    return replace(pair, **{arm: {**getattr(pair, arm), key: new}})


def test_no_change_passes_and_a_large_loss_fails_in_both_directions_of_better():
    for metric in (TTFT, THROUGHPUT):
        rule = Rule((metric,), looks=(6,))
        assert decide(pairs(NOISE, metric), rule).status == PASS
        assert decide(pairs([x + math.log(2.5) for x in NOISE], metric), rule).status == FAIL
        assert decide(pairs([x - math.log(2.5) for x in NOISE], metric), rule).status == PASS


def test_fewer_than_four_pairs_never_decide():
    decision = decide(pairs([1.0, 1.1, 1.2]), Rule((TTFT,), looks=(3,)))
    assert decision.status == INCONCLUSIVE
    assert "needs 4" in decision.metrics[0].reason


def test_a_difference_without_spread_is_decided_by_its_value():
    rule = Rule((ERRORS,), looks=(6,))
    assert decide(pairs([0.0] * 6, ERRORS), rule).metrics[0].method == "value"
    assert decide(pairs([0.0] * 6, ERRORS), rule).status == PASS
    assert decide(pairs([0.02] * 6, ERRORS), rule).status == FAIL
    assert decide(pairs([0.01] * 6, ERRORS), rule).status == INCONCLUSIVE


@pytest.mark.parametrize(("loss", "status"), [(0.02, PASS), (0.3, FAIL), (-0.3, FAIL)])
def test_output_length_may_neither_grow_nor_shrink(loss, status):
    assert decide(pairs([x + loss for x in NOISE], LENGTH), Rule((LENGTH,), looks=(6,))).status == status


def test_a_metric_missing_in_one_arm_is_inconclusive_even_when_all_others_pass():
    measured = pairs(NOISE)
    measured[2] = changed(measured[2], "candidate", TTFT.key, replace(value(None), reason="needs 72 requests"))
    decision = decide(measured, ONE)
    assert decision.status == INCONCLUSIVE
    assert "candidate of pair 3 (needs 72 requests)" in decision.metrics[0].reason
    assert next_look(decision, Rule((TTFT,)), 6, None, None).pairs == 0


def test_a_candidate_without_success_fails_and_a_baseline_without_is_invalid():
    measured = [replace(p, candidate_ok=0, baseline_ok=9, candidate={}) for p in pairs(NOISE)]
    assert decide(measured, ONE).status == FAIL
    assert decide([replace(p, baseline_ok=0) for p in measured], ONE).status == INVALID


def test_a_zero_in_the_candidate_is_the_worst_effect_and_in_the_baseline_no_pair():
    measured = pairs(NOISE, THROUGHPUT)
    rule = Rule((THROUGHPUT,), looks=(6,))
    zero = [changed(p, "candidate", THROUGHPUT.key, value(0.0)) for p in measured]
    assert decide([*zero[:1], *measured[1:]], rule).metrics[0].values[0].d == math.inf
    assert decide([*zero[:1], *measured[1:]], rule).status == INCONCLUSIVE
    assert decide(zero, rule).status == FAIL
    decision = decide([changed(measured[0], "baseline", THROUGHPUT.key, value(0.0)), *measured[1:]], rule)
    assert decision.pairs == 5
    assert "baseline is 0" in decision.warnings[0]


def test_values_only_known_to_be_above_a_limit_never_pass_but_may_fail():
    good, bad = pairs(NOISE), pairs([x + 0.5 for x in NOISE])
    censored = [changed(p, "candidate", TTFT.key, replace(p.candidate[TTFT.key], above=True)) for p in good]
    assert decide(censored, ONE).status == INCONCLUSIVE
    censored = [changed(p, "candidate", TTFT.key, replace(p.candidate[TTFT.key], above=True)) for p in bad]
    assert decide(censored, ONE).status == FAIL
    censored = [changed(p, "baseline", TTFT.key, replace(p.baseline[TTFT.key], above=True)) for p in bad]
    assert decide(censored, ONE).status == INCONCLUSIVE


def test_the_next_look_follows_the_declared_sizes_and_the_time_left():
    rule = Rule((TTFT,))
    unclear = decide(pairs([x + 0.045 for x in NOISE]), rule)
    assert next_look(None, rule, 0, 1.0, None).pairs == 6
    assert (next_look(unclear, rule, 6, 100.0, 20.0).pairs, next_look(unclear, rule, 6, 100.0, 20.0).look) == (4, 2)
    assert next_look(unclear, rule, 6, 70.0, 20.0).pairs == 0
    assert next_look(decide(pairs(NOISE), rule), rule, 6, None, None).pairs == 0


def test_injected_losses_are_seen_with_the_right_sign_in_every_metric():
    recorded = noisy(WHOLE, {}, 0.02, np.random.default_rng(4), 10)
    cases = self_check(recorded, WHOLE)
    assert len(cases) == 5 * 6 + 4
    assert [c for c in cases if not c.holds] == []
    assert decide(inject(recorded, TTFT, 1.5), WHOLE).status == FAIL


def test_false_alarms_and_spread_of_a_target_against_itself():
    recorded = noisy(WHOLE, {}, 0.02, np.random.default_rng(6), 24)
    alarms = false_alarms(recorded, WHOLE, seed=1)
    assert (alarms.gates, alarms.failed) == (60, 0)
    assert alarms == false_alarms(recorded, WHOLE, seed=1)
    assert clopper_pearson(0, 20)[1] == pytest.approx(1 - 0.025 ** (1 / 20))
    found = {s.metric: s for s in spreads(recorded, WHOLE)}
    assert found["goodput"].spread == pytest.approx(0.02, rel=0.5)
    assert 0 < found["goodput"].smallest_margin < 0.1


def run_percentile(random, effect, requests=300):
    """ln p95 of one run whose requests are autocorrelated: AR(1) with 0.9, around the run's own effect."""
    innovations = random.normal(0, 0.1, requests)
    path, level = np.empty(requests), 0.0
    for i, step in enumerate(innovations):
        level = 0.9 * level + step
        path[i] = level
    return effect + random.normal(0, 0.02) + np.sort(path)[int(0.95 * requests)]


@pytest.mark.parametrize(("loss", "wrong", "most"), [(0.0, FAIL, 0.03), (0.25, PASS, 0.10), (0.25, FAIL, 0.10)])
def test_requests_that_depend_on_each_other_do_not_raise_the_error_rates(loss, wrong, most):
    random = np.random.default_rng(17)
    rule = Rule((replace(TTFT, margin=0.25),))
    gates = 120
    ended = [
        sequential(
            pairs([run_percentile(random, math.log1p(loss)) - run_percentile(random, 0.0) for _ in range(16)]), rule
        )
        for _ in range(gates)
    ]
    assert ended.count(wrong) / gates <= most


def test_the_whole_rule_keeps_its_promises_in_small():
    random = np.random.default_rng(19)
    gates = 120
    ends = {
        loss: [sequential(noisy(WHOLE, {TTFT: loss}, 0.03, random, 16), WHOLE) for _ in range(gates)]
        for loss in (0.0, 0.05, 0.10)
    }
    assert ends[0.0].count(PASS) / gates >= 0.95
    assert ends[0.05].count(PASS) / gates <= 0.12
    assert ends[0.10].count(FAIL) / gates >= 0.95
    assert ends[0.10].count(PASS) == 0


def test_a_number_of_pairs_that_was_not_declared_costs_one_look_more():
    rule = Rule((TTFT,))
    off, on = decide(pairs([*NOISE, 0.01, 0.0]), rule), decide(pairs(NOISE), rule)
    assert off.look is None
    assert "none of the declared looks" in off.warnings[0]
    assert on.look == 1
    assert off.metrics[0].confidence > on.metrics[0].confidence


def test_metrics_for_information_are_shown_and_decide_nothing():
    measured = [pair(i, {TTFT: x, THROUGHPUT: x + 0.5}, Rule((TTFT, THROUGHPUT))) for i, x in enumerate(NOISE)]
    decision = decide(measured, ONE, information=(THROUGHPUT,))
    assert decision.status == PASS
    assert (decision.metrics[1].role, decision.metrics[1].status) == ("information", FAIL)


def test_the_interval_of_a_metric_lies_inside_the_margin_exactly_when_it_passes():
    random = np.random.default_rng(23)
    for _ in range(150):
        rule = Rule((TTFT,))
        found = decide(pairs(list(random.normal(0.03, 0.03, random.choice(rule.looks)))), rule).metrics[0]
        assert (found.status == PASS) == (found.high < found.margin)
        assert (found.status == FAIL) == (found.low > found.margin)


def test_pairs_that_cannot_be_used_make_the_gate_invalid_only_when_too_few_are_left():
    measured = pairs(NOISE)
    broken = [replace(p, invalid=("the client was too slow",)) for p in measured]
    assert decide([*broken[:2], *measured[2:]], ONE).status in (PASS, INCONCLUSIVE)
    assert decide([*broken[:3], *measured[3:]], ONE).status == INVALID
    assert decide(broken, ONE).status == INVALID


def test_a_verdict_is_a_sentence_with_effect_interval_margin_and_what_would_decide():
    near = decide(pairs([x + 0.045 for x in NOISE]), Rule((TTFT,)))
    assert near.sentence == "INCONCLUSIVE: 6 pairs cannot decide about time_to_first_token p95."
    assert near.metrics[0].reason.startswith("cannot decide: 4.8% worse [")
    shares = decide(pairs([0.02] * 6, ERRORS), Rule((ERRORS,), looks=(6,)))
    assert shares.metrics[0].reason == "beyond the margin: 2.0 pp worse [+2.0 pp to +2.0 pp], margin 1.0 pp"
