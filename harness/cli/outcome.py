"""The end of `run` and `report`: assess the folder, write its files, print the table and the path of the report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.assess import answer as answers
from harness.assess import answer_file, assess, files, sized
from harness.errors import Ending
from harness.records.store import RunFolder
from harness.report import terminal, writer


def conclude(path: Path, console: Console, *, allow_invalid: bool = False) -> Ending:
    """Assess the run in this folder, write all its reports, print the summary; returns how it ended."""
    folder = RunFolder.open(path)
    assessment = assess.assess(folder)
    files.write_files(folder, assessment)
    manifest = folder.manifest()
    answer = answers.answer_of(manifest, assess.scenario_of(manifest), assessment, folder.telemetry())
    if answer is not None:
        answer_file.write(folder, manifest, answer)
    size = sized.answer_of(folder, manifest, assess.scenario_of(manifest))
    if size is not None:
        folder.write_text(sized.FILE, sized.to_json(size))
    view = writer.view_of(folder, assessment, answer, size)
    written = writer.write_all(folder, view)
    console.print(terminal.table(view))
    for one in view.answer:
        console.print(terminal.answer(one))
    console.print(f"report: {next(file for file in written if file.suffix == '.html')}", highlight=False)
    if answer is not None:
        return answers.ending(answer)
    if size is not None:
        return sized.ending(size)
    return assess.ending(assessment, allow_invalid=allow_invalid)
