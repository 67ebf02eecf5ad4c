"""`harness gate`: the group of commands that judge; each is a module of its own."""

from __future__ import annotations

import click

from harness.cli.lazy import LazyCommands

COMMANDS: dict[str, tuple[str, str, str]] = {  # name → (module, attribute, one line for --help)
    "pair": ("harness.cli.gate_pair_command", "pair", "measure two live targets in interleaved pairs, and judge"),
    "run": ("harness.cli.gate_run_command", "run", "judge one run against an accepted baseline (the weaker form)"),
    "objectives": ("harness.cli.gate_objectives_command", "objectives", "do the scenario's objectives hold?"),
    "aa": ("harness.cli.gate_aa_command", "aa", "measure the false-alarm rate and the smallest honest margins"),
    "self-test": ("harness.cli.gate_self_test_command", "self_test", "inject known slowdowns, check every verdict"),
    "serve": ("harness.cli.gate_serve_command", "serve", "answer verdicts over HTTP, for Argo Rollouts' web provider"),
}

EPILOG = """\b
Verdicts and exit codes: PASS 0, FAIL 1, INVALID 3, INCONCLUSIVE or NOT_COMPARABLE 4."""


@click.group(cls=LazyCommands, commands_table=COMMANDS, epilog=EPILOG)
def gate() -> None:
    """Decide whether a candidate is slower than its baseline, with a known rate of false alarms."""
