"""`harness plan`: what a scenario would run, and for how long. Nothing is started."""

from __future__ import annotations

from pathlib import Path

import click
import pyarrow as pa
import pyarrow.csv
from rich import box
from rich.console import Console
from rich.table import Table

from harness import resources
from harness.errors import UsageError
from harness.plan import estimate as estimates
from harness.plan import matrix
from harness.plan.draw import draw
from harness.plan.empirical import with_files_read
from harness.plan.seeds import DIMENSIONS, derive
from harness.plan.sequence import Sequence, draw_sequence
from harness.plan.tokens import find_words, load_tokenizer
from harness.records.manifest import Point
from harness.scenario import loader
from harness.scenario.schema import Scenario
from harness.scenario.target import AttachTarget, EngineTarget
from harness.units import show_duration

ORDER_SHOWN = 12
Target = EngineTarget | AttachTarget


@click.command("plan")
@click.argument("scenario")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="write every planned request to this file")
def plan(scenario: str, csv_file: Path | None) -> None:
    """Show what SCENARIO (a name or a YAML file) would run, and how long it takes. Nothing is started."""
    drawn = with_files_read(loader.load(resources.find_named("scenarios", scenario)).scenario)
    points = matrix.points(drawn, _server_name(drawn.target))
    table = draw(drawn, points, special_tokens=_special_tokens(drawn.target))
    console = Console(highlight=False, markup=False)
    _show(console, drawn, points)
    if csv_file is not None:
        _write_csv(table, csv_file)
        _line(console, "plan written", f"{csv_file} ({table.num_rows:,} requests)")


def _server_name(target: Target) -> str:
    return Path(target.engine).stem if isinstance(target, EngineTarget) else target.attach.slug


def _special_tokens(target: Target) -> int:
    """What the target's tokenizer adds to a prompt, where that is known before the target runs; else 0."""
    if isinstance(target, EngineTarget) or target.attach.tokenizer is None:
        return 0
    return find_words(load_tokenizer(target.attach.tokenizer)).special_tokens


def _show(console: Console, scenario: Scenario, points: list[Point]) -> None:
    whole = estimates.estimate(scenario, points)
    _line(console, "scenario", scenario.name)
    _line(console, "target", _describe_target(scenario.target))
    _line(console, "phases", _describe_phases(scenario))
    console.print(_points_table(scenario, points))
    console.print(_lengths_table(scenario, points))
    _line(console, "order", _describe_order(scenario, points))
    seeds = [f"{name} {derive(scenario.seed, name) >> 96:08x}" for name in DIMENSIONS]
    _line(console, "seeds", f"run {scenario.seed}; derived (first 32 bits): {', '.join(seeds)}")
    _line(console, "duration", _describe_duration(whole))
    _line(console, "requests", f"about {whole.requests:,.0f}, {_assumption()}")


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:13} {text}", soft_wrap=True)


def _describe_target(target: Target) -> str:
    if isinstance(target, EngineTarget):
        return f"engine {_server_name(target)}, {target.on}, model {target.model}: would be started"
    return f"{target.attach.slug} at {target.attach.url}, model {target.attach.model}: must be running"


def _describe_phases(scenario: Scenario) -> str:
    phases = scenario.phases
    window = phases.window_length_s
    measured = f"{phases.window_requests:,} requests" if window is None else show_duration(window)
    drain = phases.drain_limit_s or scenario.request.timeout_s
    return (
        f"warm-up {show_duration(phases.warm_up_s)} or more, window {measured}, drain up to {show_duration(drain)},"
        f" repetitions {scenario.repetitions}"
    )


def _points_table(scenario: Scenario, points: list[Point]) -> Table:
    table = _table("point")
    for name in ("concurrency", "requests at most", "input mean", "output mean", "about"):
        table.add_column(name, justify="right")
    for point in points:
        table.add_row(
            point.point_id,
            str(point.concurrency),
            f"{point.max_requests or 0:,} x {point.repetitions}",
            f"{point.input_tokens_mean:,.0f}",
            f"{point.output_tokens_mean:,.0f}",
            show_duration(estimates.estimate_point(scenario, point).total_s),
        )
    return table


def _lengths_table(scenario: Scenario, points: list[Point]) -> Table:
    """The lengths of every part as they are planned."""
    table = _table("workload", "part")
    for name in ("share", "input min/mean/max", "output min/mean/max"):
        table.add_column(name, justify="right")
    for workload in scenario.workload:
        count = max(point.max_requests or 0 for point in points if point.workload == workload.name)
        sequence = draw_sequence(workload, scenario.seed, count)
        for ordinal, part in enumerate(workload.parts):
            table.add_row(workload.name, part.name, *_lengths_of(sequence, ordinal))
    return table


def _lengths_of(sequence: Sequence, ordinal: int) -> tuple[str, str, str]:
    mine = sequence.part == ordinal
    if not mine.any():
        return "0%", "none", "none"
    columns = [column[mine] for column in (sequence.input_tokens, sequence.output_tokens)]
    shown = [f"{column.min():,} / {column.mean():,.0f} / {column.max():,}" for column in columns]
    return f"{mine.mean():.1%}", shown[0], shown[1]


def _table(*columns: str) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _describe_order(scenario: Scenario, points: list[Point]) -> str:
    order = matrix.order(points, scenario.repetitions, scenario.seed)
    shown = [f"{point.point_id}/{repetition}" for point, repetition in order[:ORDER_SHOWN]]
    rest = len(order) - len(shown)
    return " → ".join(shown) + (f" … and {rest} more" if rest else "") + "  (point/repetition)"


def _describe_duration(whole: estimates.Estimate) -> str:
    return (
        f"about {show_duration(whole.total_s)}: warm-up {show_duration(whole.warm_up_s)}, windows"
        f" {show_duration(whole.window_s)}, drain {show_duration(whole.drain_s)}, in between"
        f" {show_duration(whole.overhead_s)}; starting a target is not counted"
    )


def _assumption() -> str:
    return (
        f"if a request reads {estimates.ASSUMED_INPUT_TOKENS_PER_S:,.0f} and writes"
        f" {estimates.ASSUMED_OUTPUT_TOKENS_PER_S:,.0f} tokens/s"
    )


def _write_csv(table: pa.Table, path: Path) -> None:
    """The plan as CSV; a list of prefix ids becomes its numbers with spaces between."""
    column = table.column_names.index("prefix_ids")
    texts = [None if ids is None else " ".join(map(str, ids)) for ids in table["prefix_ids"].to_pylist()]
    try:
        pyarrow.csv.write_csv(table.set_column(column, "prefix_ids", pa.array(texts, pa.string())), path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
