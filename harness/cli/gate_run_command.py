"""`harness gate run`: one run against an accepted baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.gate_outcome import conclude, pipeline_options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate.baseline import Baseline
    from harness.gate.measured import Measured

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
@pipeline_options
def run(
    run: Path,
    file: Path | None,
    root: Path,
    declared: tuple[str, ...],
    point: str | None,
    output: Path | None,
    junit: Path | None,
    strict: bool,
) -> int:
    """Judge the run in folder RUN against the current epoch of its baseline (at least 5 accepted runs).

    A metric is FAIL when the run is worse than the accepted runs predict by surely more than its margin, or has drifted
    that far from the epoch's first runs; PASS when it is surely within the margin.
    """
    from rich.console import Console

    from harness.assess import baseline_files
    from harness.assess.assess import assess, scenario_of
    from harness.assess.measured import point_of
    from harness.gate.declared import rule_of
    from harness.gate.measured import gate_point
    from harness.gate.run_gate import judge_run
    from harness.records.store import RunFolder

    loaded = baseline_files.load(file) if file is not None else None  # a bad file is said before the long work
    folder = RunFolder.open(run)
    manifest = folder.manifest()
    scenario = scenario_of(manifest)
    chosen, assessment = gate_point(manifest, scenario, point), assess(folder)
    measured = point_of(manifest, scenario, chosen, assessment)
    path = file or baseline_files.path_for(root, measured)
    baseline = loaded or baseline_files.load(path)
    _require_known(declared, baseline, measured)
    verdict = judge_run(measured, baseline, rule_of(scenario), baseline_name=str(path), declared=declared)
    console = Console(soft_wrap=True)
    return conclude(
        verdict, folder.path, console, output=output, junit=junit, strict=strict, assessment=assessment
    ).code


def _require_known(declared: tuple[str, ...], baseline: Baseline, measured: Measured) -> None:
    """A mistyped name would declare nothing, and say nothing."""
    from harness.gate.comparable import Identity, unknown_names

    sides = Identity(baseline.current.identity), measured.identity
    for name in unknown_names(declared, *sides):
        groups = dict.fromkeys(field.partition(".")[0] for side in sides for field in side.fields)
        raise UsageError(
            f"--declare {name}: there is no such identity field",
            hint=f"groups: {', '.join(groups)}; all fields: harness compare RUN RUN --all-fields",
        )
