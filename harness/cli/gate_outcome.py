"""The end of every gate: write the verdict's files, print it for people, tell the pipeline that runs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import Ending, RunFolderError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.gate.verdict import Verdict
    from harness.metrics.results import Assessment
    from harness.report.shown import View

Command = TypeVar("Command", bound=Callable[..., Any])
STEP_SUMMARY, IN_GITHUB = "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"


def pipeline_options(command: Command) -> Command:
    """What every gate offers to a pipeline: parameters `output`, `junit` and `strict`, as `conclude` takes them."""
    place = click.Path(path_type=Path)
    for option in (
        click.option("--strict", is_flag=True, help="in JUnit and on GitHub, what is not decided is an error"),
        click.option("--junit", type=place, metavar="FILE", help="a copy of junit.xml for your CI to collect"),
        click.option("--output", type=place, metavar="DIR", help="a copy of all files of the verdict in a fixed place"),
    ):
        command = option(command)
    return command


def conclude(
    verdict: Verdict,
    folder: Path,
    console: Console,
    *,
    output: Path | None = None,
    junit: Path | None = None,
    strict: bool = False,
    github: bool | None = None,
    assessment: Assessment | None = None,
) -> Ending:
    """Write all files of the verdict into `folder`, print it, return how the command ends.

    `folder`: a run folder, whose report then carries the gate on top, or any other folder. `output`: a folder for a
    copy of the files, the gate's alone: a fixed place for a pipeline to collect. `junit`: a file for a copy of
    junit.xml. `strict`: what is not decided is an error in JUnit and in GitHub. `github`: None asks the environment.
    `assessment`: of the run in `folder`, where the caller has it already.
    Raises RunFolderError when something cannot be written.
    """
    from harness.report.gate import terminal, writer
    from harness.report.gate.view import build

    written = writer.write(verdict, folder, strict=strict, run=_run_in(folder, assessment))
    console.print(terminal.verdict(build(verdict)), highlight=False)
    if output is not None and output.resolve() != folder.resolve():
        written = writer.write(verdict, output, strict=strict)
    if junit is not None:
        _copy(written[writer.JUNIT], junit)
    for name in (writer.REPORT, "verdict.json"):
        console.print(f"{name.partition('.')[0]}: {written[name]}", highlight=False, markup=False)
    _tell_github(verdict, console, strict=strict, github=github)
    return verdict.ending


def _run_in(folder: Path, assessment: Assessment | None) -> View | None:
    """The view of the run in this folder; None where there is none."""
    if not (folder / "manifest.json").is_file():
        return None
    from harness.assess import assess, files
    from harness.records.store import RunFolder
    from harness.report import csv, formats
    from harness.report import writer as reports

    run = RunFolder.open(folder)
    assessment = assessment or assess.assess(run)
    files.write_files(run, assessment)
    csv.write(run, folder / formats.REQUESTS_CSV)
    return reports.view_of(run, assessment)


def _copy(source: Path, to: Path) -> None:
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, to)
    except OSError as error:
        raise RunFolderError(f"cannot write {to}: {error.strerror or error}", hint="name another file") from error


def _tell_github(verdict: Verdict, console: Console, *, strict: bool, github: bool | None) -> None:
    """Annotations in the log, and the verdict in the summary of the step."""
    from harness.report.gate import annotations, markdown
    from harness.report.gate.view import build

    if github if github is not None else os.environ.get(IN_GITHUB) == "true":
        for line in annotations.commands(verdict, strict=strict):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    summary = os.environ.get(STEP_SUMMARY)
    if summary and github is not False:
        path = Path(summary)
        content = annotations.fitting(markdown.summary(build(verdict)), path.stat().st_size if path.exists() else 0)
        with path.open("ab") as file:
            file.write(content)
