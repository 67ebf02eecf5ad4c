"""What a campaign of pairs is asked for: a gate of two targets, one target against itself, or the rest of either."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.campaigns.named_target import AnyTarget, named_target
from harness.campaigns.pairs import ARMS, GATE_AA, GATE_PAIR, PairRequest
from harness.errors import UsageError
from harness.gate.declared import rule_of
from harness.records.store import RunFolder
from harness.scenario import loader
from harness.scenario.loader import Loaded
from harness.scenario.target import EngineTarget


def gate_request(loaded: Loaded, names: Mapping[str, str], runs: Path, command_line: Sequence[str]) -> PairRequest:
    """Two targets against each other. `names`: arm → engine, host:port or file. Raises UsageError for unknown ones."""
    scenario = loaded.scenario
    return PairRequest(
        loaded=loaded,
        names=dict(names),
        targets={arm: named_target(name, scenario) for arm, name in names.items()},
        runs=runs,
        command_line=list(command_line),
        rule=rule_of(scenario),
        time_budget_s=scenario.gate.time_budget_s,
    )


def aa_request(loaded: Loaded, pairs: int, runs: Path, command_line: Sequence[str]) -> PairRequest:
    """The scenario's own target against itself: so many pairs, no look before the last."""
    target = loaded.scenario.target
    return PairRequest(
        loaded=loaded,
        names=dict.fromkeys(ARMS, _name(target)),
        targets=dict.fromkeys(ARMS, target),
        runs=runs,
        command_line=list(command_line),
        rule=dataclasses.replace(rule_of(loaded.scenario), looks=(pairs,)),
        time_budget_s=loaded.scenario.gate.time_budget_s,
        campaign=GATE_AA,
    )


def resumed_request(folder: RunFolder, campaign: str, command_line: Sequence[str]) -> PairRequest:
    """The rest of a campaign that was broken off. Raises UsageError when the folder is none of this kind."""
    manifest = folder.manifest()
    if manifest.campaign != campaign or not manifest.arms:
        raise UsageError(
            f"{folder.path} is no `harness {campaign.replace('_', ' ')}`: its campaign is {manifest.campaign}",
            hint=f"harness {manifest.campaign.replace('_', ' ')} --resume {folder.path}",
        )
    loaded = loader.load_text(manifest.scenario_text, Path(manifest.scenario_file))
    if campaign == GATE_PAIR:
        request = gate_request(loaded, manifest.arms, folder.path.parent, command_line)
    else:
        asked = max(1, manifest.points[0].repetitions)
        request = aa_request(loaded, asked, folder.path.parent, command_line)
    return dataclasses.replace(request, resume=folder)


def _name(target: AnyTarget) -> str:
    return target.engine if isinstance(target, EngineTarget) else target.attach.url
