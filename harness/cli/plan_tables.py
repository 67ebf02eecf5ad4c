"""What `harness plan` shows of the load: points, tenants, parts and sessions, counted in the drawn plan."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.table import Table

from harness.plan import estimate as estimates
from harness.plan.arrivals import Spans, silence_before_end
from harness.plan.open_loop import offered_rate
from harness.records.manifest import Point
from harness.scenario.arrivals import (
    Arrivals,
    GammaArrivals,
    OnOffArrivals,
    RampArrivals,
    StepArrivals,
    TraceArrivals,
)
from harness.scenario.load import ClosedLoop, MultiTenant, OpenLoop, arrivals_of
from harness.scenario.schema import Scenario
from harness.units import show_duration, to_seconds


def loads(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Lines (label, text) about the load of a scenario."""
    load = scenario.load
    if isinstance(load, OpenLoop):
        yield "arrivals", describe(load.arrivals)
    if isinstance(load, MultiTenant):
        yield "arrivals", f"of {len(load.tenants)} tenants at once"
    for arrivals in arrivals_of(load):
        if isinstance(arrivals, TraceArrivals) and (early_ns := silence_before_end(arrivals, Spans.of(scenario))):
            yield "note", f"{arrivals.file.name} ends {show_duration(to_seconds(early_ns))} before the window does"
    if not isinstance(load, ClosedLoop) and load.concurrency_cap is not None:
        yield (
            "cap",
            f"{load.concurrency_cap} in flight; later arrivals wait in the client, and the wait is in their latency",
        )


def describe(arrivals: Arrivals) -> str:
    """An arrival process in words, without its rate where that is a level."""
    match arrivals:
        case GammaArrivals():
            return f"gamma, burstiness {arrivals.burstiness:g} (1 is poisson)"
        case OnOffArrivals():
            return f"on_off, {show_duration(arrivals.on_s)} of poisson, {show_duration(arrivals.off_s)} of silence"
        case RampArrivals():
            return (
                f"ramp, from {arrivals.from_request_rate_per_s:g} to {arrivals.to_request_rate_per_s:g} per second"
                " over the window"
            )
        case StepArrivals():
            rates = " → ".join(f"{rate:g}" for rate in arrivals.request_rate_per_s)
            return f"steps, {rates} per second, {show_duration(arrivals.step_s)} each"
        case TraceArrivals():
            recorded = arrivals.trace
            length = "" if recorded is None else f", {len(recorded.rows):,} requests in {_replay(arrivals)}"
            return f"trace {arrivals.file.name}{length}, time scale {arrivals.time_scale:g}"
        case _:
            return arrivals.process


def points(scenario: Scenario, planned: list[Point], plan: pa.Table) -> Table:
    """One row per point."""
    closed = isinstance(scenario.load, ClosedLoop)
    names = ("concurrency", "requests at most") if closed else ("arrivals/s", "in the window", "planned")
    table = _table("point")
    for name in (*names, "input mean", "output mean", "about"):
        table.add_column(name, justify="right")
    for point in planned:
        most = f"{point.max_requests or 0:,} x {point.repetitions}"
        rate, arrive = f"{point.request_rate_per_s or 0:.4g}", f"{_in_window(rows_of(plan, point)):,}"
        table.add_row(
            point.point_id,
            *((str(point.concurrency), most) if closed else (rate, arrive, most)),
            f"{point.input_tokens_mean:,.0f}",
            f"{point.output_tokens_mean:,.0f}",
            show_duration(estimates.estimate_point(scenario, point).total_s),
        )
    return table


def tenants(scenario: Scenario, planned: list[Point], plan: pa.Table) -> Table:
    """One row per point and tenant."""
    table = _table("point", "tenant", "arrivals")
    for name in ("arrivals/s", "in the window", "planned"):
        table.add_column(name, justify="right")
    for name in ("parts", "headers", "objectives"):
        table.add_column(name)
    for point in planned:
        for tenant in scenario.tenants:
            mine = rows_of(plan, point).filter(pc.field("tenant") == tenant.name)
            table.add_row(
                point.point_id,
                tenant.name,
                describe(tenant.arrivals),
                f"{offered_rate(scenario, tenant.arrivals):.4g}",
                f"{_in_window(mine):,}",
                f"{mine.num_rows:,}",
                ", ".join(tenant.parts or ("all",)),
                ", ".join(tenant.headers) or "none",  # names only: values may be secret
                ", ".join(each.metric for each in tenant.objectives) or "none",
            )
    return table


def parts(scenario: Scenario, planned: list[Point], plan: pa.Table) -> Table:
    """The lengths of every part as they are planned."""
    table = _table("workload", "part")
    for name in ("share", "input min/mean/max", "output min/mean/max"):
        table.add_column(name, justify="right")
    for workload in scenario.workload:
        rows = rows_of(plan, _longest(planned, workload.name))
        for part in workload.parts:
            table.add_row(workload.name, part.name, *_lengths(rows, part.name))
    return table


def sessions(scenario: Scenario, planned: list[Point], plan: pa.Table) -> Table:
    """The sessions of every part that has them."""
    table = _table("workload", "part")
    for name in ("sessions", "turns min/mean/max", "think time mean", "history"):
        table.add_column(name, justify="right")
    for workload in scenario.workload:
        rows = rows_of(plan, _longest(planned, workload.name))
        for part in workload.parts:
            if part.sessions is None:
                continue
            mine = rows.filter(pc.field("workload_part") == part.name)
            turns = mine.group_by("session_id").aggregate([("turn", "count")])["turn_count"]
            think_ns = pc.mean(mine["think_time_ns"]).as_py() or 0
            table.add_row(
                workload.name,
                part.name,
                f"{len(turns):,}",
                _spread(turns) if len(turns) else "none",
                show_duration(to_seconds(round(think_ns))),
                part.sessions.history,
            )
    return table


def rows_of(plan: pa.Table, point: Point) -> pa.Table:
    """The rows of a point's first repetition."""
    return plan.filter((pc.field("point_id") == point.point_id) & (pc.field("repetition") == 0))


def _longest(planned: list[Point], workload: str) -> Point:
    return max((point for point in planned if point.workload == workload), key=lambda point: point.max_requests or 0)


def _in_window(rows: pa.Table) -> int:
    return int(pc.sum(pc.equal(rows["phase"], "window")).as_py() or 0)


def _lengths(rows: pa.Table, part: str) -> tuple[str, str, str]:
    mine = rows.filter(pc.field("workload_part") == part)
    if mine.num_rows == 0:
        return "0%", "none", "none"
    return f"{mine.num_rows / rows.num_rows:.1%}", _spread(mine["input_tokens"]), _spread(mine["output_tokens"])


def _spread(column: pa.ChunkedArray) -> str:
    least_most = pc.min_max(column).as_py()
    return f"{least_most['min']:,} / {pc.mean(column).as_py():,.0f} / {least_most['max']:,}"


def _replay(arrivals: TraceArrivals) -> str:
    return show_duration(to_seconds(arrivals.trace.length_ns)) if arrivals.trace is not None else "?"


def _table(*columns: str) -> Table:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    return table
