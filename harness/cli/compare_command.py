"""`harness compare`: two runs side by side, for information."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--point", help="Only this point; default: every point that both runs have.")
@click.option("--all-fields", is_flag=True, help="Every identity field, also those that are the same.")
def compare(a: Path, b: Path, point: str | None, all_fields: bool) -> int:
    """Lay the runs in folders A and B side by side: what they were made of, and what they measured.

    For information only: two single runs prove nothing, so there is no verdict and the exit code is 0. To decide
    whether a candidate is slower: harness gate pair, or harness gate run against accepted runs.
    """
    from rich.console import Console

    from harness.cli import comparison_tables
    from harness.cli.sides import common_points

    console = Console(soft_wrap=True)
    console.print(f"A: {a}\nB: {b}", markup=False, highlight=False)
    for number, (one, other) in enumerate(common_points(a, b, point)):
        if number == 0:
            comparison_tables.identity(console, one, other, every=all_fields)
        console.print(f"\nA {one.name}   B {other.name}", markup=False, highlight=False)
        comparison_tables.metrics(console, one, other)
    console.print("\nfor information: no verdict follows from two runs alone", highlight=False)
    return 0
