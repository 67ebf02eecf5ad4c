"""A/A pairs and what follows from them; the self-test on recorded pairs; a gate that lies is caught."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner
from scipy import stats

from harness.cli.gate_self_test_command import SHIPPED, self_test
from harness.gate import self_test as tested
from harness.gate.decision import Decision, decide
from harness.gate.declared import rule_of
from harness.gate.injection import inject
from harness.gate.methods import gated
from harness.gate.pairs import Pair
from harness.gate.recorded import from_json
from harness.gate.rule import Rule
from harness.gate.testbed import gate_over, honest_margins, measured_testbed, resampled, with_margins
from harness.gate.verdict import FAIL, INCONCLUSIVE, PASS
from harness.resources import find_named, shipped
from harness.scenario import loader
from tests.unit.gate.gate_pairs import TPOT, drawn, whole_rule


def recorded() -> tuple[Rule, tuple[Pair, ...]]:
    pairs = from_json(shipped(*SHIPPED).read_text(), "shipped").pairs
    rule = rule_of(loader.load(find_named("scenarios", "gate-smoke")).scenario)
    return with_margins(rule, honest_margins(measured_testbed(rule, pairs))), pairs


def test_the_spread_and_the_smallest_honest_margin_follow_from_the_pairs() -> None:
    bed = measured_testbed(whole_rule(), drawn(200, spread=0.03), gates=5)
    assert bed["spread"]["time_per_output_token.p95"] == pytest.approx(0.03, rel=0.15)
    assert bed["spread"]["error_ratio.value"] == 0
    noticed = (stats.t.ppf(1 - 0.0237, 15) + stats.t.ppf(0.8, 15)) * 0.03 / 4
    margin = bed["smallest_honest_margins"]["output_token_throughput.value"]
    assert margin == pytest.approx(2 * noticed, rel=0.25), "Pocock's level of three looks, 16 pairs, power 0.8"
    assert (bed["independent_gates"], bed["resampled_gates"]) == (33, 5)
    assert sum(bed["resampled_statuses"].values()) == 5


def test_at_least_sixty_gates_from_the_recorded_pairs_never_fail_where_nothing_changed() -> None:
    rule, pairs = recorded()
    assert len(pairs) >= 24
    statuses = [gate_over(rule, own).status for own in resampled(pairs, 16, 60, seed=7)]
    assert FAIL not in statuses
    assert statuses.count(PASS) > 30


def test_a_slowdown_of_twice_the_margin_in_every_metric_is_never_passed_by_recorded_pairs() -> None:
    rule, pairs = recorded()
    for metric in rule.metrics:
        loss = max(0.10, 2 * metric.margin) * 1.0001
        slowed = inject(pairs, metric, loss)
        said = [gate_over(rule, own) for own in resampled(slowed, 16, 8, seed=7)]
        assert {verdict.status for verdict in said} <= {FAIL, INCONCLUSIVE}
        assert all(v.next_step for v in said if v.status == INCONCLUSIVE), "the pairs needed"


def test_every_promise_holds_for_every_metric_and_change() -> None:
    rule, pairs = recorded()
    found = list(tested.outcomes(rule, pairs, gates=1))
    assert {(o.metric, o.statistic) for o in found} == {m.key for m in rule.metrics}
    assert [o for o in found if o.broken] == []
    assert any(o.loss > 1 and o.failed == o.gates for o in found), "2.5 times slower fails every time"


def test_a_gate_with_a_wrong_sign_or_a_soft_margin_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, pairs = recorded()
    one = dataclasses.replace(rule, metrics=tuple(m for m in rule.metrics if m.key == TPOT))

    def lenient(pairs: list[Pair], rule: Rule, look: int | None = None) -> Decision:
        said = decide(pairs, rule, look)
        metrics = [dataclasses.replace(m, status=PASS, effect=-(m.effect or 0.0)) for m in said.metrics]
        return dataclasses.replace(said, status=PASS, metrics=metrics)

    monkeypatch.setattr(tested, "decide", lenient)
    monkeypatch.setattr("harness.gate.testbed.decide", lenient)
    broken = [o.broken or "" for o in tested.outcomes(one, pairs, gates=1)]
    assert all("sign" in words for words in broken)


def test_the_command_says_so(tmp_path: object) -> None:
    result = CliRunner().invoke(self_test, ["--recorded-only"], standalone_mode=False)
    assert result.return_value == 0
    assert "every promise held" in result.output


def test_recorded_pairs_say_how_they_were_recorded() -> None:
    content = json.loads(shipped(*SHIPPED).read_text())
    assert content["how"].startswith("harness gate aa")
    assert "cores" in content["how"]


def test_metrics_that_were_not_recorded_are_left_out() -> None:
    rule, pairs = recorded()
    more = dataclasses.replace(rule, metrics=(*rule.metrics, gated("time_to_second_token", "p95")))
    keys = {(o.metric, o.statistic) for o in tested.outcomes(more, pairs, gates=1)}
    assert keys == {m.key for m in rule.metrics}
