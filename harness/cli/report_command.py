"""`harness report`: rebuild everything that follows from a run folder, without the server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> int:
    """Rebuild metrics.json, verdict.json, report.html, summary.md and requests.csv of the run in FOLDER.

    Works anywhere and needs no server: a run folder that somebody mailed you is enough.
    """
    from rich.console import Console

    from harness.cli import gate_aa_outcome
    from harness.cli.gate_pairs_outcome import judge
    from harness.cli.outcome import conclude
    from harness.records.store import RunFolder

    console = Console(soft_wrap=True)
    manifest = RunFolder.open(folder).manifest()
    if manifest.campaign == "gate_aa":
        gate_aa_outcome.conclude(folder, console)
    elif manifest.arms:
        judge(folder, console)
    else:
        conclude(folder, console)
    return 0
