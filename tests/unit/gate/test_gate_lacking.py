"""What a gate cannot decide is said before it begins, and after its first pair."""

from __future__ import annotations

import dataclasses

from harness.gate.lacking import lacking, too_few
from harness.metrics.results import Value
from tests.unit.gate.gate_pairs import TTFT, drawn, whole_rule


def test_percentiles_need_their_requests() -> None:
    assert too_few(whole_rule(), 72) == []
    said = too_few(whole_rule(), 71)
    assert said[0] == "p95 of time_to_first_token needs 72 requests in the window, 71 are planned"
    assert len(said) == 2


def test_a_first_pair_tells_which_metrics_have_no_value() -> None:
    (pair,) = drawn(1)
    assert lacking(whole_rule(), pair) == []
    none = Value(None, "ns", 40, reason="needs 72 requests")
    short = dataclasses.replace(pair, candidate={**pair.candidate, TTFT: none})
    assert lacking(whole_rule(), short) == ["time_to_first_token p95: needs 72 requests"]
