"""`harness gate aa`: one target against itself, to learn what a gate can honestly say on this test bed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.campaigns.pairs import PairRequest

RESUME = "harness gate aa --resume"
FEWEST = 6


@click.command()
@click.argument("scenario", required=False)
@click.option(
    "-n", "--pairs", type=click.IntRange(FEWEST, 1000), default=24, show_default=True, help="pairs to measure"
)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="where runs go")
@click.option("--resume", type=click.Path(path_type=Path), help="measure what is missing in this run folder")
@click.option(
    "--into", type=click.Path(path_type=Path), help="also write what was found into this baseline's `testbed`"
)
def aa(scenario: str | None, pairs: int, runs: Path, resume: Path | None, into: Path | None) -> int:
    """Measure SCENARIO's own target against itself, as `gate pair` measures two.

    Nothing differs, so every FAIL is a false alarm, and the spread of the pairs is the test bed's own. Writes
    testbed.json (spread, smallest honest margins, false alarms) and pairs.json into the run folder.

    \b
      harness gate aa gate-smoke -n 24
      harness gate aa chat.yaml -n 30 --into baselines/chat/my-triton/1xnvidia-h100.json
      harness gate pair chat.yaml --baseline … --candidate … --testbed runs/<folder>/testbed.json
    """
    from rich.console import Console

    from harness.assess import baseline_files
    from harness.campaigns.pairs import run as measure
    from harness.cli.gate_aa_outcome import conclude, put_into
    from harness.cli.progress import TerminalDisplay

    console = Console(soft_wrap=True)
    if into is not None:
        baseline_files.load(into)  # a bad file is said before the long work
    request = _request(scenario, pairs, runs, resume)
    try:
        with TerminalDisplay(console) as display:
            folder = measure(request, display)
    except HarnessError as error:
        error.resume_command = RESUME
        raise
    ending = conclude(folder.path, console)
    if into is not None:
        put_into(into, folder.path, console)
    return ending.code


def _request(scenario: str | None, pairs: int, runs: Path, resume: Path | None) -> PairRequest:
    from harness.campaigns.pair_requests import aa_request, resumed_request
    from harness.campaigns.pairs import GATE_AA
    from harness.records.store import RunFolder
    from harness.resources import find_named
    from harness.scenario import loader

    command_line = ["harness", *sys.argv[1:]]
    if (scenario is None) == (resume is None):
        raise UsageError(
            "name a scenario, or a folder with --resume (not both)", hint="harness gate aa gate-smoke -n 24"
        )
    if scenario is not None:
        return aa_request(loader.load(find_named("scenarios", scenario)), pairs, runs, command_line)
    assert resume is not None
    return resumed_request(RunFolder.open(resume), GATE_AA, command_line)
