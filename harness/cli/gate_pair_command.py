"""`harness gate pair`: measure two live targets in interleaved pairs, and say whether the candidate is slower."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.gate_outcome import pipeline_options
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.campaigns.pairs import PairRequest

RESUME = "harness gate pair --resume"


@click.command()
@click.argument("scenario", required=False)
@click.option("--baseline", help="what is compared against: an engine, a host:port, or a YAML file")
@click.option("--candidate", help="what is judged: likewise")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="where runs go")
@click.option("--resume", type=click.Path(path_type=Path), help="measure what is missing in this run folder, and judge")
@click.option(
    "--testbed", type=click.Path(path_type=Path), help="testbed.json of `harness gate aa`: spread and margins"
)
@pipeline_options
def pair(
    scenario: str | None,
    baseline: str | None,
    candidate: str | None,
    runs: Path,
    resume: Path | None,
    testbed: Path | None,
    output: Path | None,
    junit: Path | None,
    strict: bool,
) -> int:
    """Measure two targets under SCENARIO in interleaved pairs, and decide whether the candidate is slower.

    Both run at once and one of them is under load. Each pair asks both the same, in a drawn order. After 6, 10 and 16
    pairs (gate.looks) it is looked whether they decide. A host:port is asked as the scenario asks its own server.

    \b
      harness gate pair gate-smoke --baseline cpu-tiny --candidate my-engine.yaml
      harness gate pair chat.yaml --baseline 10.0.0.5:8001 --candidate 10.0.0.6:8001
      harness gate pair --resume runs/20261125T101500Z-chat-1a2b3c

    \b
    PASS 0: not slower than the margin allows    FAIL 1: slower than that
    INCONCLUSIVE 4: says how many pairs would decide    INVALID 3, NOT_COMPARABLE 4: no answer, and why
    """
    from rich.console import Console

    from harness.campaigns.pairs import run as measure
    from harness.cli.gate_pairs_outcome import judge, read_testbed
    from harness.cli.progress import TerminalDisplay

    console, bed = Console(soft_wrap=True), None if testbed is None else read_testbed(testbed)
    request = _resumed(resume) if resume is not None else _new(scenario, baseline, candidate, runs)
    try:
        with TerminalDisplay(console) as display:
            folder = measure(request, display)
    except HarnessError as error:
        error.resume_command = RESUME
        if error.kept_in is not None:
            judge(error.kept_in, console, testbed=bed)
        raise
    return judge(folder.path, console, testbed=bed, output=output, junit=junit, strict=strict).code


def _new(scenario: str | None, baseline: str | None, candidate: str | None, runs: Path) -> PairRequest:
    from harness.campaigns.pair_requests import gate_request
    from harness.gate.pairs import BASELINE, CANDIDATE
    from harness.resources import find_named
    from harness.scenario import loader

    if scenario is None or baseline is None or candidate is None:
        raise UsageError(
            "a gate of pairs needs a scenario, --baseline and --candidate",
            hint="harness gate pair gate-smoke --baseline cpu-tiny --candidate cpu-tiny",
        )
    loaded = loader.load(find_named("scenarios", scenario))
    return gate_request(loaded, {BASELINE: baseline, CANDIDATE: candidate}, runs, ["harness", *sys.argv[1:]])


def _resumed(path: Path) -> PairRequest:
    from harness.campaigns.pair_requests import resumed_request
    from harness.campaigns.pairs import GATE_PAIR
    from harness.records.store import RunFolder

    return resumed_request(RunFolder.open(path), GATE_PAIR, ["harness", *sys.argv[1:]])
