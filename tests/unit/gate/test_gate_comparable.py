"""Two identities beside each other: same, declared, undeclared, unknown; and which fields block."""

import dataclasses
from typing import Any

import pytest

from harness.assess.assess import scenario_of
from harness.gate.comparable import Identity, blocking_differences, compare, other_differences
from harness.gate.identity import identity_of
from harness.records.manifest import Manifest
from tests.oracle.runs import SCENARIO_TEXT, manifest, measurement


def told(run: dict[str, Any] | None = None, *, text: str = SCENARIO_TEXT, version: int = 1, **changes: Any) -> Identity:
    made: Manifest = dataclasses.replace(manifest([measurement(1)], scenario_text=text, **changes), **(run or {}))
    return identity_of(made, scenario_of(made), made.points[0], metrics_version=version)


def names(found: list[Any]) -> list[str]:
    return [field.name for field in found]


def test_every_field_has_one_of_four_statuses() -> None:
    a = Identity({"engine.hash": "x", "setting.max": 1, "scenario.seed": 1, "tokenizer.hash": None, "host.kernel": "6"})
    b = Identity({"engine.hash": "y", "setting.max": 1, "scenario.seed": 2, "tokenizer.hash": "t", "host.kernel": "7"})
    found = {field.name: field.status for field in compare(a, b, ["engine"])}
    assert found == {
        "engine.hash": "declared",
        "setting.max": "same",
        "scenario.seed": "undeclared",
        "tokenizer.hash": "unknown",
        "host.kernel": "undeclared",
    }
    assert names(blocking_differences(compare(a, b))) == ["engine.hash", "scenario.seed"]
    assert names(other_differences(compare(a, b))) == ["host.kernel"]


def test_a_group_is_declared_by_whole_words_and_a_field_on_one_side_only_is_unknown() -> None:
    (field,) = compare(Identity({"engine_x": 1}), Identity({"engine_x": 2}), ["engine"])
    assert field.status == "undeclared"
    assert [f.status for f in compare(Identity({"a": 1}), Identity({"b": 1}))] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gpu_product": "H100", "gpu_count": 1}, "hardware.gpu_count"),
        ({"run": {"seed": 2}}, "scenario.seed"),
        ({"version": 2}, "metrics.version"),
        ({"run": {"metrics_version": 99}}, "metrics.version_of_run"),
        ({"protocol": "openai_chat"}, "endpoint.protocol"),
        ({"text": SCENARIO_TEXT.replace("output_tokens: 4", "output_tokens: 5")}, "scenario.workload.parts.all"),
        ({"settings": {"max_batch_size": 8}}, None),  # not known of the other: no difference can be claimed
    ],
)
def test_what_changes_the_work_or_the_machine_blocks(changes: dict[str, Any], field: str | None) -> None:
    found = names(blocking_differences(compare(told(), told(**changes))))
    assert any(name.startswith(field) for name in found) if field else found == []


def test_surroundings_warn_and_do_not_block() -> None:
    a, b = told({"host": {"kernel": "6.1"}}), told({"host": {"kernel": "6.2"}, "harness_version": "0.9"})
    assert blocking_differences(compare(a, b)) == []
    assert set(names(other_differences(compare(a, b)))) == {"host.kernel", "harness.version"}


def test_the_same_run_is_the_same() -> None:
    assert {field.status for field in compare(told(), told())} <= {"same", "unknown"}
