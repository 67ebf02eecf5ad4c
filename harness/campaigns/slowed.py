"""The live part of a gate's self-test: the scenario's own engine against itself, slowed by a known share.

The engine waits after each of its steps (`injected_slowdown_ratio`), so that its time per output token is longer by
just that share, and what follows from it by as much or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.campaigns.pair_requests import gate_request
from harness.campaigns.pairs import PairRequest
from harness.engine.load import load_engine
from harness.errors import UsageError
from harness.gate.pairs import BASELINE, CANDIDATE
from harness.gate.rule import GatedMetric, Rule
from harness.metrics.results import POINT_VALUE
from harness.scenario import loader
from harness.scenario.loader import Loaded
from harness.scenario.target import EngineTarget
from harness.scenario.yaml_tree import parse


def slowed_request(
    loaded: Loaded, rule: Rule, ratio: float, engines: Path, runs: Path, words: Sequence[str]
) -> PairRequest:
    """The scenario's engine against itself: slowed by `ratio`, or unchanged with 0. `engines`: a folder for the slowed
    one; `words`: the command line."""
    declared = with_rule(loaded, rule)
    path = slowed_engine(loaded, ratio, engines) if ratio else None
    own = engine_of(loaded)
    return gate_request(declared, {BASELINE: own, CANDIDATE: str(path) if path else own}, runs, words)


def engine_of(loaded: Loaded) -> str:
    """The engine that the scenario starts. Raises UsageError when it starts none."""
    target = loaded.scenario.target
    if not isinstance(target, EngineTarget):
        raise UsageError(
            "a live self-test slows an engine that it starts itself", hint="take a scenario with engine: cpu-tiny"
        )
    return target.engine


def slowed_engine(loaded: Loaded, ratio: float, folder: Path) -> Path:
    """Write the scenario's engine, slowed, into `folder`; its path. Raises UsageError where there is none to slow."""
    engine = load_engine(engine_of(loaded))
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


def _written(metric: GatedMetric) -> dict[str, Any]:
    statistic = {} if metric.statistic == POINT_VALUE else {"statistic": metric.statistic}
    return {"metric": metric.metric, **statistic, "margin": metric.margin}


def _plain(text: str) -> dict[str, Any]:
    plain = parse(text)[0].plain()
    return dict(plain) if isinstance(plain, dict) else {}
