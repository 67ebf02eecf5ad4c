"""The live self-test's candidate: the same engine but for name and slowdown; and a rule written into a scenario."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.campaigns.slowed import slowed_engine, with_rule
from harness.engine.load import load_engine
from harness.errors import UsageError
from harness.gate.declared import rule_of
from harness.gate.testbed import with_margins
from harness.resources import find_named
from harness.scenario import loader


def loaded(name: str = "gate-smoke") -> loader.Loaded:
    return loader.load(find_named("scenarios", name))


def test_the_slowed_engine_differs_in_nothing_else(tmp_path: Path) -> None:
    path = slowed_engine(loaded(), 0.2, tmp_path)
    slowed, plain = load_engine(str(path)).spec, load_engine("cpu-tiny").spec
    assert slowed.settings.injected_slowdown_ratio == 0.2
    same = {"name": plain.name, "settings": plain.settings}
    assert slowed.model_copy(update=same) == plain
    assert slowed.settings.model_copy(update={"injected_slowdown_ratio": 0.0}) == plain.settings


def test_a_server_that_runs_already_cannot_be_slowed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="starts itself"):
        slowed_engine(loaded("attach-example"), 0.2, tmp_path)


def test_a_scenario_with_a_rule_declares_that_rule() -> None:
    rule = rule_of(loaded().scenario)
    wider = with_margins(
        dataclasses.replace(rule, looks=(4, 8)), {("time_to_first_token", "p95"): 0.3, ("goodput", "value"): 0.01}
    )
    assert [metric.margin for metric in wider.metrics][:3] == [0.05, 0.3, 0.05], "goodput, TTFT, TPOT: only ever wider"
    written = with_rule(loaded(), wider)
    assert rule_of(written.scenario) == wider
    assert written.scenario.model_copy(update={"gate": loaded().scenario.gate}) == loaded().scenario
