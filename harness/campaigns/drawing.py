"""Drawing a plan for an open target: what only the target knows (its tokenizer, its limits) is asked here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from harness.measure.assignment import contract_of
from harness.plan import matrix
from harness.plan.draw import draw
from harness.plan.files import Count, prompt_files, with_files_read
from harness.plan.prompts import PromptSource
from harness.records.manifest import Point
from harness.scenario.schema import Scenario
from harness.target.opened import OpenTarget


def files_read(scenario: Scenario, target: OpenTarget) -> Scenario:
    """The scenario with the lengths of its prompt files, counted with the target's tokenizer where that is known."""
    return with_files_read(scenario, _token_count(target, scenario))


def points_of(scenario: Scenario, deployment_id: str) -> list[Point]:
    """The points of one deployment. `scenario`: with its files read."""
    drawn = matrix.points(scenario, deployment_id)
    return [dataclasses.replace(point, streamed=scenario.request.stream) for point in drawn]


def plan_of(scenario: Scenario, points: Sequence[Point], target: OpenTarget) -> pa.Table:
    """The plan of these points (schema PLAN). `scenario`: with its files read. Raises UsageError."""
    return draw(scenario, list(points), _special_tokens(target, scenario.seed))


def _token_count(target: OpenTarget, scenario: Scenario) -> Count | None:
    """Counts the texts of files with the target's tokenizer; None where there are none, or it is not known."""
    tokenizer = target.endpoint.tokenizer
    if tokenizer is None or not any(prompt_files(scenario, workload.name) for workload in scenario.workload):
        return None
    return PromptSource.from_tokenizer(tokenizer, scenario.seed).count


def _special_tokens(target: OpenTarget, seed: int) -> int:
    """Tokens that the target's tokenizer adds to a text prompt; also checks that exact prompts can be written."""
    tokenizer = target.endpoint.tokenizer
    if tokenizer is None or not contract_of(target).takes_text:
        return 0
    return PromptSource.from_tokenizer(tokenizer, seed).special_tokens
