"""`harness size`: the highest load that meets the objectives, for one engine or for every combination of settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.campaigns.search import SizeRequest


@click.command()
@click.argument("scenario", required=False)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="where runs go")
@click.option("--resume", type=click.Path(path_type=Path), help="go on with the search in this run folder")
def size(scenario: str | None, runs: Path, resume: Path | None) -> int:
    """Find the highest load at which SCENARIO's objectives hold, and the configuration that carries the most.

    The scenario has a `size` block (lowest and highest load), objectives with a percentile, and perhaps `vary`. Loads
    are doubled, then halved between; each probe is judged by a test, not by a bare percentile, and the load found is
    confirmed. Ctrl-C keeps what was measured; `--resume` goes on.

    \b
      harness size size-cpu
      harness size --resume runs/20261125T101500Z-size-cpu-1a2b3c

    \b
    Exit codes: 0 a load was found, 1 no configuration meets the objectives at the lowest load, 3 INVALID probes stand
    in the way, 4 undecided, or not searched to the end. How it decides: scenarios/README.md.
    """
    from rich.console import Console

    from harness.campaigns.search import size as run_size
    from harness.cli.outcome import conclude
    from harness.cli.progress import TerminalDisplay
    from harness.records.store import RunFolder

    console = Console(stderr=False, soft_wrap=True)
    request = _request(scenario, runs, resume)
    try:
        with TerminalDisplay(console) as display:
            folder = run_size(request, display)
    except HarnessError as error:
        if error.kept_in is not None and RunFolder.open(error.kept_in).manifest().measurements:
            conclude(error.kept_in, console)
        raise
    return conclude(folder.path, console).code


def _request(scenario: str | None, runs: Path, resume: Path | None) -> SizeRequest:
    from harness.campaigns.search import SIZE, SizeRequest
    from harness.records.store import RunFolder
    from harness.resources import find_named
    from harness.scenario import loader

    command_line = ["harness", *sys.argv[1:]]
    if (scenario is None) == (resume is None):
        hint = "harness size size-cpu"
        raise UsageError("name a scenario to size, or a folder with --resume (not both)", hint=hint)
    if scenario is not None:
        return SizeRequest(loader.load(find_named("scenarios", scenario)), runs, command_line)
    assert resume is not None
    folder = RunFolder.open(resume)
    manifest = folder.manifest()
    if manifest.campaign != SIZE:
        command = manifest.campaign.replace("_", " ")
        raise UsageError(f"{resume} is no search", hint=f"harness {command} --resume {resume}")
    loaded = loader.load_text(manifest.scenario_text, Path(manifest.scenario_file))
    return SizeRequest(loaded, resume.parent, command_line, resume=folder)
