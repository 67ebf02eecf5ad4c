"""The deployments of a scenario that varies settings: every combination, as an engine spec of its own.

Pure but for reading the engine's file. A combination that the engine's schema refuses is kept, with the reason.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness.engine.load import LoadedEngine, load_engine
from harness.engine.spec import EngineFile, EngineSpec
from harness.errors import ScenarioError, UsageError
from harness.plan.seeds import derive, permutation
from harness.records.manifest import Point
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict
from harness.scenario.target import EngineTarget

LONGEST_ID = 60  # a point's id begins with it
SETTINGS = "settings"  # where an engine spec holds what `vary` names without a path
SESSIONS_BETWEEN_REFERENCES = 6
REFERENCE = "reference"


@dataclass(frozen=True)
class Combination:
    """One deployment of a sweep. `text` is the YAML of its engine spec; it is called `name`."""

    deployment_id: str
    name: str
    varied: Mapping[str, Any]  # setting → value
    text: str
    cannot_be: str | None = None  # why the engine refuses these settings together
    spec: EngineSpec | None = None  # None where it cannot be

    @property
    def label(self) -> str:
        """The settings in words: `max_batch_size 16, max_num_tokens 512`."""
        return label(self.varied)


def label(varied: Mapping[str, Any]) -> str:
    """Settings in words."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in varied.items())


def combinations(scenario: Scenario) -> list[Combination]:
    """Every combination of the values in `vary`, in the order written. Raises UsageError where none of them can be."""
    if scenario.vary is None or not isinstance(scenario.target, EngineTarget):
        raise UsageError("the scenario has no `vary`", hint="harness run measures a scenario without one")
    engine = load_engine(scenario.target.engine)
    choices = itertools.product(*scenario.vary.values())
    found = [_combination(engine, dict(zip(scenario.vary, values, strict=True))) for values in choices]
    if all(one.cannot_be for one in found):
        raise UsageError(
            f"no combination of `vary` can be with engine {engine.spec.name}: {found[0].cannot_be}",
            hint=f"the settings of an engine stand in its file: {engine.path}",
        )
    return found


def start_order(found: Sequence[str], seed: int) -> list[str]:
    """The deployment ids in seeded order: each is started once, and a slow drift falls on none in particular."""
    return [found[i] for i in permutation(derive(seed, "order", "deployments"), len(found)).tolist()]


@dataclass(frozen=True)
class Session:
    """One start of one deployment. `reference`: which visits of the reference point fall into it."""

    deployment_id: str
    points: bool  # whether its own points are measured
    reference: tuple[int, ...] = ()


def sessions(order: Sequence[str]) -> list[Session]:
    """The starts of a sweep over deployments in this order: one each, and few more for the reference.

    The first is the reference. It is visited at its start, at the end, and in between so that at most
    `SESSIONS_BETWEEN_REFERENCES` deployments lie between two visits.
    """
    if len(order) == 1:
        return [Session(order[0], True, (0, 1))]
    pieces = math.ceil((len(order) - 1) / SESSIONS_BETWEEN_REFERENCES)
    after = {1 + round((len(order) - 1) * piece / pieces): piece for piece in range(1, pieces + 1)}
    found = []
    for number, deployment_id in enumerate(order, start=1):
        found.append(Session(deployment_id, True, (0,) if number == 1 else ()))
        if number in after:
            found.append(Session(order[0], False, (after[number],)))
    return found


def reference_of(points: Sequence[Point], visits: int) -> Point:
    """The reference point of a deployment with these points: the middle load of its first workload, once a visit."""
    own = [point for point in points if point.workload == points[0].workload]
    ranked = sorted(own, key=lambda point: float(point.concurrency or point.request_rate_per_s or 0))
    middle = ranked[len(ranked) // 2]
    return replace(middle, point_id=f"{middle.point_id}-{REFERENCE}", repetitions=visits, purpose=REFERENCE)


def _combination(engine: LoadedEngine, varied: Mapping[str, Any]) -> Combination:
    deployment_id = _deployment_id(varied)
    name = f"{engine.spec.name}-{deployment_id}"[:80].rstrip("-._")
    text = _text(engine, name, varied)
    try:
        spec = read_strict(text, EngineFile, Path(f"{name}.yaml")).root
    except ScenarioError as error:
        return Combination(deployment_id, name, varied, text, cannot_be=_reason(error))
    return Combination(deployment_id, name, varied, text, spec=spec)


def _deployment_id(varied: Mapping[str, Any]) -> str:
    """The settings as a name that is safe in file names; a hash where that would be too long or have odd characters."""
    readable = "_".join(f"{name.rpartition('.')[2]}-{_shown(value)}" for name, value in varied.items()).lower()
    if len(readable) <= LONGEST_ID and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", readable):
        return readable
    return f"combination-{hashlib.sha256(readable.encode()).hexdigest()[:12]}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(engine: LoadedEngine, name: str, varied: Mapping[str, Any]) -> str:
    content: dict[str, Any] = yaml.safe_load(engine.text)
    content["name"] = name
    for setting, value in varied.items():
        *path, last = setting.split(".") if "." in setting else (SETTINGS, setting)
        inner = content
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    head = f"# Made by harness sweep from engine {engine.spec.name}, with {label(varied)}.\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _reason(error: ScenarioError) -> str:
    """What the schema said, on one line, without the name of a file that nobody wrote."""
    words = " ".join(error.message.split())
    return re.sub(r"^\S+\.yaml(:\d+(:\d+)?)?:? *", "", words)
