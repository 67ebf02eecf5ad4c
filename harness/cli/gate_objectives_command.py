"""`harness gate objectives`: do the scenario's objectives hold in a run?"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.gate_outcome import conclude, pipeline_options

EPILOG = """\b
`harness run` compares values with limits; this asks whether the data are enough to say so. p99 with no request over
the limit needs 459 requests at 99% confidence, p95 90, p90 44; requests that wait behind the same queue count as fewer.

\b
  harness run my-scenario
  harness gate objectives runs/<folder>
  harness gate objectives runs/<folder> --point chat-c16 --confidence 0.95

\b
Exit codes: PASS 0, FAIL 1, INVALID 3, INCONCLUSIVE 4."""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--point", help="Judge this point alone; default: every point.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    default=0.99,
    show_default=True,
    help="With which an objective must be shown to hold, or not to.",
)
@pipeline_options
def objectives(
    run: Path, point: str | None, confidence: float, output: Path | None, junit: Path | None, strict: bool
) -> int:
    """Judge the objectives of the run in folder RUN by statistical tests.

    Percentiles by MLPerf's early-stopping test over the requests of the window, other objectives by an interval over
    at least 3 repetitions. What the data cannot decide is INCONCLUSIVE, and so is missing data.
    """
    from rich.console import Console

    from harness.assess.assess import assess
    from harness.assess.objectives import objectives_verdict
    from harness.records.store import RunFolder

    folder = RunFolder.open(run)
    assessment = assess(folder)
    verdict = objectives_verdict(folder, assessment, asked=point, confidence=confidence)
    console = Console(soft_wrap=True)
    return conclude(
        verdict, folder.path, console, output=output, junit=junit, strict=strict, assessment=assessment
    ).code
