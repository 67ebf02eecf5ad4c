"""`harness gate self-test`: does the gate lie? Known slowdowns in recorded pairs and in a live engine."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import Ending, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from harness.gate.pairs import Pair
    from harness.gate.rule import Rule
    from harness.gate.self_test import Outcome
    from harness.gate.verdict import Verdict
    from harness.scenario.loader import Loaded

SHIPPED = ("scenarios", "recorded", "gate-smoke-cpu-tiny.json")


@click.command("self-test")
@click.argument("scenario", default="gate-smoke")
@click.option(
    "--recorded",
    type=click.Path(path_type=Path),
    help="pairs.json of `gate aa`, or its run folder; default: shipped pairs",
)
@click.option("--live/--recorded-only", default=True, help="also against a live engine, slowed by a known share")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="where runs go")
def self_test(scenario: str, recorded: Path | None, live: bool, runs: Path) -> int:
    """Inject slowdowns and speed-ups of 5%, 10% and 2.5 times into every gating metric, and check every verdict.

    The sign must be right every time; a loss beyond twice the margin is never PASS; a change inside the margin is never
    FAIL. First with recorded A/A pairs (seconds), then live: SCENARIO's engine against itself unchanged and slowed by
    twice the margin (minutes). The margins are the smallest that the recorded pairs make honest, or the scenario's.

    \b
      harness gate self-test --recorded-only
      harness gate self-test gate-smoke
      harness gate aa my.yaml -n 24 && harness gate self-test my.yaml --recorded runs/<folder>

    \b
    Exit codes: 0 every promise held, 1 one was broken.
    """
    from rich.console import Console

    from harness.gate.declared import rule_of
    from harness.gate.testbed import honest_margins, measured_testbed, with_margins
    from harness.resources import find_named
    from harness.scenario import loader

    console, loaded = Console(soft_wrap=True), loader.load(find_named("scenarios", scenario))
    pairs = _pairs(recorded)
    rule = rule_of(loaded.scenario)
    rule = with_margins(rule, honest_margins(measured_testbed(rule, pairs)))
    held = _with_recorded(rule, pairs, console)
    if live:
        held &= _with_live_engines(loaded, rule, runs, console)
    console.print("[bold green]every promise held[/]" if held else "[bold red]the gate broke a promise[/]")
    return (Ending.PASS if held else Ending.FAIL).code


def _pairs(recorded: Path | None) -> Sequence[Pair]:
    from harness.cli.gate_aa_outcome import PAIRS
    from harness.gate.recorded import from_json
    from harness.resources import shipped

    path = shipped(*SHIPPED) if recorded is None else recorded / PAIRS if recorded.is_dir() else recorded
    try:
        return from_json(path.read_text(encoding="utf-8"), str(path)).pairs
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", hint="harness gate aa SCENARIO writes one"
        ) from error


def _with_recorded(rule: Rule, pairs: Sequence[Pair], console: Console) -> bool:
    from harness.gate.self_test import outcomes

    found = list(outcomes(rule, pairs))
    if not found:
        raise UsageError(
            "the recorded pairs hold no metric that gates this scenario",
            hint="record some of its own: harness gate aa SCENARIO, then --recorded RUN_FOLDER",
        )
    console.print(_table(found, len(pairs)))
    return all(outcome.broken is None for outcome in found)


def _table(found: Sequence[Outcome], pairs: int) -> Table:
    from rich import box
    from rich.table import Table

    from harness.report.gate import words

    table = Table(
        box=box.SIMPLE,
        title=f"changes put into {pairs} recorded pairs, {found[0].gates} gates drawn from them for each",
        title_justify="left",
    )
    for name in ("metric", "change", "margin", "PASS", "INCONCLUSIVE", "FAIL", ""):
        table.add_column(name, justify="left" if name in ("metric", "") else "right")
    for each in found:
        open_ones = each.gates - each.passed - each.failed
        counts = (str(each.passed), str(open_ones), str(each.failed))
        sizes = (words.loss(each.loss, each.kind), words.margin(each.margin, each.kind))
        table.add_row(words.name(each.metric, each.statistic), *sizes, *counts, each.broken or "ok")
    return table


def _with_live_engines(loaded: Loaded, rule: Rule, runs: Path, console: Console) -> bool:
    """Unchanged: never FAIL. Slowed by twice the margin: never PASS, and the sign is right."""
    from harness.gate.self_test import KEY_SLOWED, slowdown_of
    from harness.gate.verdict import FAIL, INCONCLUSIVE, PASS

    ratio = slowdown_of(rule)
    unchanged = _live(loaded, rule, 0.0, runs, console)
    slowed = _live(loaded, rule, ratio, runs, console)
    moved = next((m.effect for m in slowed.metrics if (m.metric, m.statistic) == KEY_SLOWED), None)
    promises = {
        f"live, unchanged: {unchanged.status}, never FAIL": unchanged.status in (PASS, INCONCLUSIVE),
        f"live, slowed by {100 * ratio:.0f}%: {slowed.status}, never PASS": slowed.status in (FAIL, INCONCLUSIVE),
        f"live, slowed: {KEY_SLOWED[0]} is seen to be worse": moved is not None and moved > 0,
    }
    for words, held in promises.items():
        console.print(f"{'ok     ' if held else 'BROKEN '} {words}", highlight=False)
    return all(promises.values())


def _live(loaded: Loaded, rule: Rule, ratio: float, runs: Path, console: Console) -> Verdict:
    from harness.assess.pair_verdict import verdict_of
    from harness.campaigns.pairs import run
    from harness.campaigns.slowed import slowed_request
    from harness.cli.gate_outcome import conclude
    from harness.cli.progress import TerminalDisplay

    with tempfile.TemporaryDirectory(prefix="harness-self-test-") as engines, TerminalDisplay(console) as display:
        folder = run(slowed_request(loaded, rule, ratio, Path(engines), runs, ["harness", *sys.argv[1:]]), display)
    verdict = verdict_of(folder)
    conclude(verdict, folder.path, console, github=False)
    return verdict
