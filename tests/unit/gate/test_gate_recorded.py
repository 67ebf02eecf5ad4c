"""Recorded pairs: what is written is what is read, and nothing that is only a bound becomes a number."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.gate.pairs import BASELINE, CANDIDATE, MetricKey, Pair
from harness.gate.recorded import Recorded, from_json, to_json
from harness.metrics.results import Value

TTFT: MetricKey = ("time_to_first_token", "p95")
ERRORS: MetricKey = ("error_ratio", "value")


def pair(index: int, a: float, b: float, *, above: bool = False, invalid: tuple[str, ...] = ()) -> Pair:
    return Pair(
        index,
        BASELINE if index % 2 else CANDIDATE,
        {TTFT: Value(a, "ns", 100), ERRORS: Value(0.0, "ratio", 100)},
        {TTFT: Value(b, "ns", 100, above=above), ERRORS: Value(0.25, "ratio", 100)},
        invalid,
    )


def test_pairs_come_back_with_values_units_and_order() -> None:
    pairs = (pair(0, 1e6, 2e6), pair(1, 3e6, 4e6))
    found = from_json(to_json(Recorded("s", "t", "by hand", pairs), [TTFT, ERRORS]), "here")
    assert (found.scenario, found.target, found.how) == ("s", "t", "by hand")
    assert [(p.first, p.baseline[TTFT].value, p.candidate[TTFT].value) for p in found.pairs] == [
        (CANDIDATE, 1e6, 2e6),
        (BASELINE, 3e6, 4e6),
    ]
    assert found.pairs[0].candidate[ERRORS].value == 0.25
    assert found.pairs[0].baseline[TTFT].unit == "ns"


def test_unusable_pairs_are_left_out_and_open_ended_values_are_none() -> None:
    pairs = (pair(0, 1e6, 2e6, invalid=("why",)), pair(1, 3e6, 4e6, above=True))
    found = from_json(to_json(Recorded("s", "t", "", pairs), [TTFT]), "here").pairs
    assert len(found) == 1
    assert found[0].candidate[TTFT].value is None
    assert found[0].candidate[TTFT].reason is not None


@pytest.mark.parametrize("change", [{"recorded_pairs_version": 7}, {"metrics": {"ttft.p95": {}}}, {"first": None}])
def test_a_file_of_another_kind_is_refused(change: dict[str, object]) -> None:
    content = json.loads(to_json(Recorded("s", "t", "", (pair(0, 1e6, 2e6),)), [TTFT]))
    with pytest.raises(UsageError, match="here holds no recorded pairs"):
        from_json(json.dumps({**content, **change}), "here")
    with pytest.raises(UsageError):
        from_json("{", "here")
