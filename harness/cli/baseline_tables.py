"""Baselines in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.assess.accept import Accepted
from harness.cli import comparison_tables
from harness.cli.sides import Side
from harness.errors import Ending, UsageError
from harness.gate.baseline import LEAST_RUNS, AcceptedRun, Baseline, Epoch, metric_names
from harness.gate.stored_values import Beyond, Stored

COMMIT_DIGITS = 10


def accepted(console: Console, done: Accepted) -> None:
    """What was just accepted, and how many runs are missing before the gate can judge."""
    epoch = done.baseline.current
    console.print(f"accepted into {done.path}, epoch {epoch.epoch}: {done.verdict} ({done.why})", markup=False)
    missing = LEAST_RUNS - len(epoch.runs)
    if missing > 0:
        console.print(f"{len(epoch.runs)} of {LEAST_RUNS} accepted runs: {missing} more before `gate run` can judge")
    else:
        console.print(f"{len(epoch.runs)} accepted runs; judge the next one with: harness gate run RUN", markup=False)


def listed(console: Console, root: Path, files: Sequence[Path], load: Callable[[Path], Baseline]) -> int:
    """A line per file; a file that cannot be trusted is named with the reason, and the exit code is that of usage."""
    if not files:
        console.print(f"no baselines in {root}: accept a run with harness baseline accept RUN --reason …", markup=False)
        return 0
    table, broken = _table("scenario", "target", "hardware", "epoch", "runs", "last accepted", "test bed"), []
    for file in files:
        try:
            loaded = load(file)
        except UsageError as error:
            broken.append(error)
            continue
        table.add_row(*map(Text, _line(loaded)))
    if table.row_count:
        console.print(table)
    for why in broken:
        console.print(f"error: {why}", markup=False, soft_wrap=True)
    return Ending.USAGE.code if broken else 0


def _line(loaded: Baseline) -> tuple[str, ...]:
    epoch = loaded.current
    enough = "" if len(epoch.runs) >= LEAST_RUNS else f" (needs {LEAST_RUNS})"
    testbed = "measured" if loaded.testbed else "–"
    last = epoch.runs[-1].accepted_at[:10]
    return (
        loaded.scenario,
        loaded.target,
        loaded.hardware,
        str(epoch.epoch),
        f"{len(epoch.runs)}{enough}",
        last,
        testbed,
    )


def shown(console: Console, loaded: Baseline, *, every: bool) -> None:
    """Epochs with their runs and values."""
    console.print(f"{loaded.scenario} on {loaded.target}, {loaded.hardware}", markup=False, highlight=False)
    for epoch in loaded.epochs if every else [loaded.current]:
        console.print()
        console.print(f"epoch {epoch.epoch}, point {epoch.point_id}: {epoch.reason}", markup=False, highlight=False)
        console.print(_runs(epoch.runs))
        console.print(_values(epoch))
    if loaded.testbed:
        console.print("test bed: " + ", ".join(f"{k} {v}" for k, v in sorted(loaded.testbed.items())), markup=False)


def _runs(runs: Sequence[AcceptedRun]) -> Table:
    table = _table("#", "run", "accepted", "by", "commit", "verdict", "reason")
    for number, run in enumerate(runs, start=1):
        verdict = f"{run.verdict}, overridden" if run.override else run.verdict
        commit = (run.commit or "–")[:COMMIT_DIGITS]
        table.add_row(
            *map(Text, (str(number), run.run_id, run.accepted_at[:10], run.accepted_by, commit, verdict, run.reason))
        )
    return table


def _values(epoch: Epoch) -> Table:
    """What the runs of the epoch measured, over all of them; limits (`> 120000`) are only shown for the last run."""
    table = _table("value", "runs", "lowest", "median", "highest", "last run")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in metric_names(epoch):
        plain = [value for run in epoch.runs if isinstance(value := run.values.get(name), float)]
        over_all = (min(plain), median(plain), max(plain)) if plain else (None, None, None)
        table.add_row(name, str(len(plain)), *map(_cell, over_all), _cell(epoch.runs[-1].values.get(name)))
    return table


def _cell(value: Stored | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, Beyond):
        return f"> {value.above:g}" if value.above is not None else f"< {value.below:g}"
    return f"{value:g}"


def differences(console: Console, a: Side, b: Side) -> None:
    """What changed from A to B."""
    console.print(f"A: {a.name}\nB: {b.name}", markup=False, highlight=False)
    comparison_tables.identity(console, a, b)
    comparison_tables.metrics(console, a, b)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for heading in headings:
        table.add_column(heading, no_wrap=heading == "value")
    return table
