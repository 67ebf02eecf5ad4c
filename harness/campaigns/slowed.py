"""The live part of a gate's self-test: the scenario's own engine against itself, slowed by a known share.

The engine waits after each of its steps (`injected_slowdown_ratio`), so that its time per output token is longer by
just that share, and what follows from it by as much or less.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.engine.load import load_engine
from harness.errors import UsageError
from harness.gate.pairs import MetricKey
from harness.gate.rule import GatedMetric, Rule
from harness.metrics.results import POINT_VALUE
from harness.scenario import loader
from harness.scenario.loader import Loaded
from harness.scenario.target import EngineTarget
from harness.scenario.yaml_tree import parse


def slowed_engine(loaded: Loaded, ratio: float, folder: Path) -> Path:
    """Write the scenario's engine, slowed, into `folder`; its path. Raises UsageError where there is none to slow."""
    target = loaded.scenario.target
    if not isinstance(target, EngineTarget):
        raise UsageError(
            "a live self-test slows an engine that it starts itself", hint="take a scenario with engine: cpu-tiny"
        )
    engine = load_engine(target.engine)
    content = _plain(engine.text)
    name = f"{engine.spec.name}-slowed"
    settings = {**content["settings"], "injected_slowdown_ratio": ratio}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**content, "name": name, "settings": settings}, sort_keys=False), encoding="utf-8")
    load_engine(str(path))  # refuses an engine that cannot be slowed
    return path


def with_rule(loaded: Loaded, rule: Rule) -> Loaded:
    """The scenario with this rule as its gate block: a report of the run judges by the same."""
    content = _plain(loaded.text)
    gate = {**content.get("gate", {}), "alpha": rule.alpha, "looks": list(rule.looks)}
    gate["metrics"] = [_written(metric) for metric in rule.metrics]
    text = yaml.safe_dump({**content, "gate": gate}, sort_keys=False, allow_unicode=True)
    return loader.load_text(text, loaded.path)


def with_margins(rule: Rule, margins: Mapping[MetricKey, float]) -> Rule:
    """The rule with these margins, where they are larger than its own."""
    wider = [_widened(metric, margins.get(metric.key, 0.0)) for metric in rule.metrics]
    return dataclasses.replace(rule, metrics=tuple(wider))


def _widened(metric: GatedMetric, margin: float) -> GatedMetric:
    return dataclasses.replace(metric, margin=max(metric.margin, margin))


def _written(metric: GatedMetric) -> dict[str, Any]:
    statistic = {} if metric.statistic == POINT_VALUE else {"statistic": metric.statistic}
    return {"metric": metric.metric, **statistic, "margin": metric.margin}


def _plain(text: str) -> dict[str, Any]:
    plain = parse(text)[0].plain()
    return dict(plain) if isinstance(plain, dict) else {}
