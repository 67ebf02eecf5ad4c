"""The two sides of a gate as a person names them: an engine, a running server's host:port, or a YAML file.

A host:port is asked as the scenario asks its own server: protocol, model, headers, TLS, tokenizer, GPUs. A YAML file is
an engine, a scenario, or holds nothing but a `target`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from harness.errors import UsageError
from harness.resources import find_named
from harness.scenario.schema import Scenario, Target
from harness.scenario.strict import Strict
from harness.scenario.strict_yaml import read_strict, text_of
from harness.scenario.surroundings import Surroundings
from harness.scenario.target import Attach, AttachTarget, EngineTarget, HostPort
from harness.scenario.yaml_tree import NotYaml, parse

SCHEME = re.compile(r"^(grpcs?|https?)://")
AnyTarget = EngineTarget | AttachTarget


class TargetFile(Strict):
    """A YAML file that says nothing but which server is meant."""

    target: Target = Field(description="the server under test")


def named_target(name: str, scenario: Scenario) -> AnyTarget:
    """The target that is meant. Raises UsageError, ScenarioError for a file with mistakes."""
    if name.endswith((".yaml", ".yml")):
        return _in_file(Path(name), scenario)
    address = SCHEME.sub("", name)
    if ":" in address:
        return AttachTarget(attach=_at(address, scenario))
    find_named("engines", name)
    return _engine(name, scenario)


def _in_file(path: Path, scenario: Scenario) -> AnyTarget:
    text = text_of(path)
    keys = _keys(text)
    if "target" not in keys:
        return _engine(str(path), scenario)
    around = Surroundings(path.resolve().parent, os.environ)
    model: type[TargetFile] | type[Scenario] = Scenario if "workload" in keys else TargetFile
    found: AnyTarget = read_strict(text, model, path, around).target
    return found


def _keys(text: str) -> set[str]:
    try:
        plain = parse(text)[0].plain()
    except NotYaml:
        return set()  # the reader of the file says what is wrong
    return set(plain) if isinstance(plain, dict) else set()


def _engine(name: str, scenario: Scenario) -> EngineTarget:
    """The engine, asked as the scenario asks its own."""
    own = scenario.target
    if isinstance(own, EngineTarget):
        return own.model_copy(update={"engine": name})
    return EngineTarget(engine=name)


def _at(address: str, scenario: Scenario) -> Attach:
    try:
        TypeAdapter(HostPort).validate_python(address)
    except ValidationError:
        raise UsageError(
            f"{address!r} is no host:port", hint="e.g. 127.0.0.1:8001, an engine's name, or a YAML file"
        ) from None
    own = scenario.target
    if isinstance(own, AttachTarget):
        return own.attach.model_copy(update={"url": address, "name": None})
    return Attach(url=address, protocol=own.protocol, model=own.model)
