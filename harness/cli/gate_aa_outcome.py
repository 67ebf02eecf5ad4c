"""The end of `gate aa`, now or when its folder is looked at again: testbed.json, pairs.json, the table, exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.gate_pairs_outcome import TESTBED, read_testbed
from harness.errors import Ending

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from harness.gate.rule import Rule

PAIRS = "pairs.json"


def conclude(path: Path, console: Console) -> Ending:
    """Write the report of the run, what its pairs say of the test bed, and the pairs; returns how it ended."""
    from harness.assess.assess import scenario_of
    from harness.assess.pair_records import recorded_json
    from harness.assess.pairs import pairs_of
    from harness.cli import outcome
    from harness.gate.declared import rule_of
    from harness.gate.testbed import measured_testbed
    from harness.records.store import RunFolder

    folder = RunFolder.open(path)
    ending = outcome.conclude(path, console)
    manifest, pairs = folder.manifest(), pairs_of(folder)
    rule = rule_of(scenario_of(manifest))
    bed = {"scenario": manifest.scenario_name, "run": manifest.run_id, **measured_testbed(rule, pairs)}
    folder.write_text(TESTBED, json.dumps(bed, indent=2, sort_keys=True) + "\n")
    folder.write_text(PAIRS, recorded_json(folder))
    console.print(_table(bed, rule))
    console.print(_false_alarms(bed), highlight=False)
    for pair in pairs:
        if pair.invalid:
            console.print(
                f"pair {pair.index + 1} is not used: {'; '.join(pair.invalid)}", highlight=False, markup=False
            )
    console.print(f"test bed: {path / TESTBED}\npairs: {path / PAIRS}", highlight=False, markup=False)
    return Ending.INVALID if ending is Ending.INVALID else Ending.PASS


def put_into(file: Path, path: Path, console: Console) -> None:
    """Write the test bed of the run in `path` into the `testbed` block of this baseline."""
    from harness.assess import baseline_files
    from harness.gate.baseline import with_testbed

    bed = read_testbed(path / TESTBED)
    with baseline_files.locked(file.parent):
        baseline_files.save(file, with_testbed(baseline_files.load(file), bed))
    console.print(f"baseline: {file} knows its test bed now", highlight=False, markup=False)


def _table(bed: dict[str, Any], rule: Rule) -> Table:
    from rich import box
    from rich.table import Table

    from harness.report.gate import words

    table = Table(box=box.SIMPLE, title="what this test bed can tell apart", title_justify="left")
    for heading in ("metric", "spread\nof a pair", "honest\nmargin", "scenario's\nmargin", ""):
        table.add_column(heading, justify="left" if heading in ("metric", "") else "right", no_wrap=True)
    for metric in rule.metrics:
        name = f"{metric.metric}.{metric.statistic}"
        cells = [bed[part].get(name) for part in ("spread", "smallest_honest_margins")]
        shown = [words.loss(cell, metric.kind, signed=False) for cell in cells]
        too_small = cells[1] is not None and metric.margin < cells[1]
        title, own = words.name(*metric.key), words.margin(metric.margin, metric.kind)
        table.add_row(title, *shown, own, "too small" if too_small else "")
    return table


def _false_alarms(bed: dict[str, Any]) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in bed["resampled_statuses"].items())
    low, high = (100 * bed[f"false_alarm_ratio_{end}"] for end in ("low", "high"))
    return (
        f"false alarms: {bed['false_alarms']} in {bed['independent_gates']} gates that share no pair (95% interval of"
        f" the ratio {low:.0f} to {high:.0f}%); {bed['resampled_gates']} gates drawn from the same pairs, not"
        f" independent of each other: {statuses}"
    )
