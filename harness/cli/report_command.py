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

    from harness.cli.outcome import conclude

    conclude(folder, Console(soft_wrap=True))
    return 0
