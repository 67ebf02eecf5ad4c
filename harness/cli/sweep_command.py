"""`harness sweep`: measure a scenario over engine settings, and get one of them recommended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.campaigns.sweep import SweepRequest


@click.command()
@click.argument("scenario", required=False)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="where runs go")
@click.option("--resume", type=click.Path(path_type=Path), help="measure what is missing in this run folder")
@click.option("--prune", is_flag=True, help="do not finish a combination that another beats by 25% at every load")
def sweep(scenario: str | None, runs: Path, resume: Path | None, prune: bool) -> int:
    """Measure SCENARIO for every combination of its `vary`, and recommend one under its objectives.

    Each combination is an engine of its own: it is started, measured at every load level, stopped. One that does not
    start is a result. The run folder gets the report, answer.json, and the spec of the recommended engine.
    Ctrl-C keeps what was measured; `--resume` goes on. What did not start is not tried again.

    \b
      harness plan batch-sweep       the combinations, the starts, the time; nothing is started
      harness sweep batch-sweep
      harness sweep --resume runs/20261125T101500Z-batch-sweep-1a2b3c

    \b
    Exit codes: 0 a configuration is recommended, 1 none meets the objectives, 3 INVALID points stand in the way,
    4 too little data to recommend one.
    """
    from rich.console import Console

    from harness.campaigns.sweep import sweep as run_sweep
    from harness.cli.outcome import conclude
    from harness.cli.progress import TerminalDisplay
    from harness.records.store import RunFolder

    console = Console(stderr=False, soft_wrap=True)
    request = _request(scenario, runs, resume, prune)
    try:
        with TerminalDisplay(console) as display:
            folder = run_sweep(request, display)
    except HarnessError as error:
        if error.kept_in is not None and RunFolder.open(error.kept_in).manifest().measurements:
            conclude(error.kept_in, console)
        raise
    return conclude(folder.path, console).code


def _request(scenario: str | None, runs: Path, resume: Path | None, prune: bool) -> SweepRequest:
    from harness.campaigns.sweep import SWEEP, SweepRequest
    from harness.records.store import RunFolder
    from harness.resources import find_named
    from harness.scenario import loader

    command_line = ["harness", *sys.argv[1:]]
    if (scenario is None) == (resume is None):
        hint = "harness sweep batch-sweep"
        raise UsageError("name a scenario to sweep, or a folder with --resume (not both)", hint=hint)
    if scenario is not None:
        return SweepRequest(loader.load(find_named("scenarios", scenario)), runs, command_line, prune=prune)
    assert resume is not None
    folder = RunFolder.open(resume)
    manifest = folder.manifest()
    if manifest.campaign != SWEEP:
        raise UsageError(f"{resume} is no sweep", hint=f"harness {manifest.campaign} --resume {resume}")
    loaded = loader.load_text(manifest.scenario_text, Path(manifest.scenario_file))
    return SweepRequest(loaded, resume.parent, command_line, resume=folder, prune=prune)
