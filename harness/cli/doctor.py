"""`harness doctor`: what this machine has and lacks for measuring, each with the command that mends it."""

from __future__ import annotations

import click

from harness.cli.checks import Check, State, all_checks
from harness.errors import Ending
from harness.target.server_environment import prepare as prepare_environment

MARKS = {State.OK: ("ok", "green"), State.WARN: ("warn", "yellow"), State.MISSING: ("missing", "red")}


@click.command("doctor")
@click.option("--prepare", is_flag=True, help="Make the server environment now (about 500 MB), so that a run need not.")
def doctor(prepare: bool) -> int:
    """Check this machine. Exit code 2 when something that the demo needs is missing, else 0."""
    if prepare:
        prepare_environment(lambda line: click.echo(line, err=True))
    checks = all_checks()
    for check in checks:
        click.echo(show(check))
    lacking = [check.name for check in checks if check.state is State.MISSING and check.needed]
    if lacking:
        click.echo(f"\nmissing for the demo: {', '.join(lacking)}")
        return Ending.USAGE.code
    click.echo("\neverything the demo needs is here, or is made by it")
    return Ending.PASS.code


def show(check: Check) -> str:
    """One line, and a second one with the mending command when there is something to mend."""
    mark, colour = MARKS[check.state]
    line = f"{click.style(f'{mark:<8}', fg=colour)}{check.name:<22}{check.said}"
    return line if check.mend is None else f"{line}\n{'':<30}→ {check.mend}"
