"""`harness plan`: what a scenario would run, and for how long. Nothing is started."""

from __future__ import annotations

from pathlib import Path

import click
import pyarrow as pa
import pyarrow.csv
from rich.console import Console

from harness import resources
from harness.cli import plan_gate, plan_tables, size_plan, sweep_plan
from harness.errors import UsageError
from harness.plan import estimate as estimates
from harness.plan import matrix
from harness.plan.draw import draw
from harness.plan.files import prompt_files, with_files_read
from harness.plan.prompts import PromptSource
from harness.plan.seeds import DIMENSIONS, derive
from harness.records.manifest import Point
from harness.scenario import loader
from harness.scenario.load import ClosedLoop
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
    loaded = loader.load(resources.find_named("scenarios", scenario)).scenario
    if loaded.size is not None:
        size_plan.show_plan(loaded, loaded.size, Console(highlight=False, markup=False), csv_file)
        return
    if loaded.vary is not None:
        sweep_plan.show(loaded, Console(highlight=False, markup=False), csv_file)
        return
    source = _source(loaded)
    drawn = with_files_read(loaded, source.count if source is not None else None)
    points = matrix.points(drawn, _server_name(drawn.target))
    table = draw(drawn, points, special_tokens=source.special_tokens if source is not None else 0)
    console = Console(highlight=False, markup=False)
    _show(console, drawn, points, table, counted=source is not None)
    if csv_file is not None:
        _write_csv(table, csv_file)
        _line(console, "plan written", f"{csv_file} ({table.num_rows:,} requests)")


def _server_name(target: Target) -> str:
    return Path(target.engine).name.removesuffix(".yaml") if isinstance(target, EngineTarget) else target.attach.slug


def _source(scenario: Scenario) -> PromptSource | None:
    """The prompts of the target's tokenizer, where that is known before the target runs; else None."""
    target = scenario.target
    if isinstance(target, EngineTarget) or target.attach.tokenizer is None:
        return None
    return PromptSource.from_tokenizer(target.attach.tokenizer, scenario.seed)


def _show(console: Console, scenario: Scenario, points: list[Point], table: pa.Table, counted: bool) -> None:
    whole = estimates.estimate(scenario, points)
    _line(console, "scenario", scenario.name)
    _line(console, "target", _describe_target(scenario.target))
    _line(console, "phases", _describe_phases(scenario))
    if not counted and any(prompt_files(scenario, workload.name) for workload in scenario.workload):
        _line(console, "note", "texts from files are counted in words here; `harness run` asks the target's tokenizer")
    for label, text in plan_tables.loads(scenario):
        _line(console, label, text)
    console.print(plan_tables.points(scenario, points, table))
    if scenario.tenants:
        console.print(plan_tables.tenants(scenario, points, table))
    console.print(plan_tables.parts(scenario, points, table))
    if any(part.sessions for workload in scenario.workload for part in workload.parts):
        console.print(plan_tables.sessions(scenario, points, table))
    _line(console, "order", _describe_order(scenario, points))
    seeds = [f"{name} {derive(scenario.seed, name) >> 96:08x}" for name in DIMENSIONS]
    _line(console, "seeds", f"run {scenario.seed}; derived (first 32 bits): {', '.join(seeds)}")
    _line(console, "duration", _describe_duration(whole))
    for label, text in plan_gate.gate_lines(scenario, points, table):
        _line(console, label, text)
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
    drain = scenario.drain_limit_s
    more = " or more" if isinstance(scenario.load, ClosedLoop) else ""
    return (
        f"warm-up {show_duration(phases.warm_up_s)}{more}, window {measured}, drain up to {show_duration(drain)},"
        f" repetitions {scenario.repetitions}"
    )


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
