"""`harness gate run`: one run against an accepted baseline."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
The everyday form for CI with one target. It is the weaker one: no baseline is measured beside the run, so a test bed
that has changed since looks like a slower candidate. `harness gate pair` measures both in turns.

\b
  harness run my-scenario
  harness baseline accept runs/<folder> --reason "release 1.4"      five times, over a few days
  harness gate run runs/<new folder>

\b
Exit codes: PASS 0, FAIL 1, INVALID 3, INCONCLUSIVE or NOT_COMPARABLE 4."""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    "file",
    type=click.Path(path_type=Path),
    help="The baseline file; default: <baselines>/<scenario>/<engine or target>/<hardware>.json.",
)
@click.option(
    "--baselines",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("baselines"),
    show_default=True,
    help="Folder of the baselines.",
)
@click.option(
    "--declare",
    "declared",
    multiple=True,
    metavar="FIELD",
    help="An identity field, or a group of them (engine, setting, server …), that is on trial. Repeatable.",
)
@click.option("--point", help="The point that is judged, where the scenario has several and does not say.")
def run(run: Path, file: Path | None, root: Path, declared: tuple[str, ...], point: str | None) -> int:
    """Judge the run in folder RUN against the current epoch of its baseline (at least 5 accepted runs).

    A metric is FAIL when the run is worse than the accepted runs predict by surely more than its margin, or has drifted
    that far from the epoch's first runs; PASS when it is surely within the margin.
    """
    from rich.console import Console

    from harness.assess import baseline_files
    from harness.assess.measured import measured_point
    from harness.gate.declared import rule_of
    from harness.gate.run_gate import judge_run
    from harness.records.store import RunFolder

    loaded = baseline_files.load(file) if file is not None else None  # a bad file is said before the long work
    measured = measured_point(RunFolder.open(run), point)
    path = file or baseline_files.path_for(root, measured)
    verdict = judge_run(
        measured,
        loaded or baseline_files.load(path),
        rule_of(measured.scenario),
        baseline_name=str(path),
        declared=declared,
    )
    Console(soft_wrap=True).print(verdict.sentence, markup=False)
    return verdict.ending.code
