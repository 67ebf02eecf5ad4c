"""`harness run`: measure a scenario and leave a run folder with its report."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import Ending, HarnessError, UsageError, worst

if TYPE_CHECKING:
    from rich.console import Console

    from harness.campaigns.run import RunRequest
    from harness.records.store import RunFolder


RESUMED_HERE = ("run", "cross_check")  # campaigns


@click.command()
@click.argument("scenario", required=False)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="where runs go")
@click.option("--resume", type=click.Path(path_type=Path), help="measure what is missing in this run folder")
@click.option("--allow-invalid", is_flag=True, help="keep the marks of INVALID points, but do not fail because of them")
@click.option("--web-ui", "web_ui_port", type=click.IntRange(1, 65535), help="Locust's web page on this local port")
@click.option("--cross-check", is_flag=True, help="measure every point with Locust and with perf_analyzer, and compare")
def run(
    scenario: str | None,
    runs: Path,
    resume: Path | None,
    allow_invalid: bool,
    web_ui_port: int | None,
    cross_check: bool,
) -> int:
    """Measure SCENARIO (a name such as `quickstart`, or a YAML file) and write a run folder with an HTML report.

    Ctrl-C ends the run cleanly: what was measured is kept and `--resume` goes on with the rest.

    \b
      harness run quickstart
      harness run my-scenario.yaml --runs /data/runs
      harness run --resume runs/20261125T101500Z-quickstart-1a2b3c
      harness run quickstart --cross-check
    """
    from rich.console import Console

    from harness.campaigns.run import CROSS_CHECK
    from harness.campaigns.run import run as run_campaign
    from harness.cli.outcome import conclude
    from harness.cli.progress import TerminalDisplay

    console = Console(stderr=False, soft_wrap=True)
    request = dataclasses.replace(_request(scenario, runs, resume), web_ui_port=web_ui_port)
    if cross_check and resume is None:
        request = dataclasses.replace(request, campaign=CROSS_CHECK)
    try:
        with TerminalDisplay(console) as display:
            folder = run_campaign(request, display)
    except HarnessError as error:
        if error.kept_in is not None and _has_measurements(error.kept_in):
            conclude(error.kept_in, console)
        raise
    ending = conclude(folder.path, console, allow_invalid=allow_invalid)
    if request.campaign == CROSS_CHECK:
        ending = worst([ending, _compare_drivers(folder, console)])
    return ending.code


def _compare_drivers(folder: RunFolder, console: Console) -> Ending:
    from harness.campaigns import cross_check

    checked = cross_check.check(folder)
    for line in cross_check.markdown(checked):
        console.print(line, markup=False, highlight=False)
    console.print(f"cross-check: {folder.path / 'cross_check.json'}", highlight=False)
    return cross_check.ending(checked)


def _request(scenario: str | None, runs: Path, resume: Path | None) -> RunRequest:
    from harness.campaigns.run import RunRequest
    from harness.records.store import RunFolder
    from harness.resources import find_named
    from harness.scenario import loader

    command_line = ["harness", *sys.argv[1:]]
    if (scenario is None) == (resume is None):
        raise UsageError("name a scenario to run, or a folder with --resume (not both)", hint="harness run quickstart")
    if scenario is not None:
        return RunRequest(loader.load(find_named("scenarios", scenario)), runs, command_line)
    assert resume is not None
    folder = RunFolder.open(resume)
    manifest = folder.manifest()
    if manifest.campaign not in RESUMED_HERE:
        raise UsageError(f"{resume} is a {manifest.campaign}", hint=f"harness {manifest.campaign} --resume {resume}")
    loaded = loader.load_text(manifest.scenario_text, Path(manifest.scenario_file))
    return RunRequest(loaded, resume.parent, command_line, resume=folder, campaign=manifest.campaign)


def _has_measurements(path: Path) -> bool:
    from harness.records.store import RunFolder

    return bool(RunFolder.open(path).manifest().measurements)
