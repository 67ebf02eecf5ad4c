"""`harness baseline`: accept runs, and look at what was accepted."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
A baseline is a JSON file in baselines/<scenario>/<engine or target>/<hardware>.json, kept under version control:
its diff in a pull request is the performance change. It never moves by itself.

\b
  harness baseline accept runs/<folder> --reason "release 1.4"
  harness gate run runs/<another folder>          5 accepted runs are needed
  harness baseline diff baselines/…/<file>.json runs/<folder>"""

ROOT = click.option(
    "--baselines",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("baselines"),
    show_default=True,
    help="Folder of the baselines.",
)
FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group(epilog=EPILOG)
def baseline() -> None:
    """Accepted runs that later ones are judged against."""


@baseline.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why this run is good enough to be judged against; kept with it.")
@click.option("--override", is_flag=True, help="Accept a run that is FAIL: it was slower, and that is wanted.")
@click.option(
    "--new-epoch", is_flag=True, help="Begin anew: for a lasting change (another GPU, engine, workload, definition)."
)
@click.option("--point", help="The point that is judged, where the scenario has several and does not say.")
@ROOT
def accept(run: Path, reason: str, override: bool, new_epoch: bool, point: str | None, root: Path) -> int:
    """Append the run in folder RUN to the current epoch of its baseline.

    Refused: a run that is INVALID (exit 3), of another kind than the epoch (4), FAIL without --override (1), or
    accepted already (2).
    """
    from rich.console import Console

    from harness.assess.accept import Acceptance, accept
    from harness.assess.measured import measured_point
    from harness.cli import baseline_tables, who
    from harness.records.store import RunFolder

    measured = measured_point(RunFolder.open(run), point)
    by = Acceptance(who.person(), who.now(), who.commit(), reason, override, new_epoch)
    accepted = accept(root, measured, by)
    baseline_tables.accepted(Console(soft_wrap=True), accepted)
    return 0


@baseline.command("list")
@ROOT
def list_baselines(root: Path) -> int:
    """Every baseline: scenario, target, hardware, epoch, accepted runs."""
    from rich.console import Console

    from harness.assess import baseline_files
    from harness.cli import baseline_tables

    files = baseline_files.found(root)
    return baseline_tables.listed(Console(), root, files, baseline_files.load)


@baseline.command()
@FILE
@click.option("--all", "every", is_flag=True, help="All epochs, not only the current one.")
def show(file: Path, every: bool) -> int:
    """The accepted runs in FILE: who accepted them, when and why, and their values."""
    from rich.console import Console

    from harness.assess import baseline_files
    from harness.cli import baseline_tables

    loaded = baseline_files.load(file)
    baseline_tables.shown(Console(soft_wrap=True), loaded, every=every)
    return 0


@baseline.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--point", help="The point of a run, where its scenario has several and does not say.")
def diff(a: Path, b: Path, point: str | None) -> int:
    """What changed from A to B: two baseline files, or a baseline file and a run folder. For information, exit 0."""
    from rich.console import Console

    from harness.cli import baseline_tables
    from harness.cli.sides import side

    baseline_tables.differences(Console(soft_wrap=True), side(a, point), side(b, point))
    return 0


@baseline.command()
@FILE
@click.option("--keep-epochs", type=click.IntRange(min=1), default=1, show_default=True, help="Epochs that stay.")
def prune(file: Path, keep_epochs: int) -> int:
    """Drop old epochs from FILE. The current one always stays, whole: its first runs are what drift is seen by."""
    from rich.console import Console

    from harness.assess import baseline_files
    from harness.gate.baseline import pruned

    with baseline_files.locked(file.parent):
        before = baseline_files.load(file)
        after = pruned(before, keep_epochs)
        if after != before:
            baseline_files.save(file, after)
    dropped = len(before.epochs) - len(after.epochs)
    Console(soft_wrap=True).print(f"{file}: {dropped} dropped, {len(after.epochs)} left", highlight=False)
    return 0


@baseline.command()
def schema() -> int:
    """Print the JSON Schema of baseline files."""
    from harness.gate.baseline_json import schema_text

    click.echo(schema_text(), nl=False)
    return 0
