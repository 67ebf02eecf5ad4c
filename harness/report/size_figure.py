"""The figure of a search: how often each load held, and what it gives all users together against what it gives one."""

from __future__ import annotations

import statistics

from harness.analysis.sized import ProbeRow, SizeAnswer, Sized
from harness.report.numbers import digits
from harness.report.shown import Curves, FigureView, Line, Panel, TextTable

HELD_SHARE = {"held": 1.0, "undecided": 0.5, "lost": 0.0}


def figure(answer: SizeAnswer) -> FigureView:
    """Both panels, a line per configuration and a marker per load; its table has every probe."""
    ones = list(enumerate(answer.configurations))
    held = tuple(line for style, one in ones if (line := _held(one, style)) is not None)
    speed = tuple(line for style, one in ones if (line := _speed(one, style)) is not None)
    throughput = f"output tokens/s per {'GPU' if answer.divisor == 'gpu' else 'server'}"
    panels = (
        Panel("Share of probes that held", answer.unit, "an undecided one counts as half", held, log_x=True),
        Panel("Throughput against speed per user", "output tokens/s per user (p50)", throughput, speed),
    )
    rows = [
        (one.label, digits(p.load), p.purpose, p.answer, p.validity, p.detail)
        for one in answer.configurations
        for p in one.probes
    ]
    return FigureView(
        key="probes",
        title="Probes of the search",
        description="Left: load, logarithmic, against the share of its probes that held. Right: each load's median.",
        caption="Hollow: no probe at this load is VALID." if held else "Not drawn: nothing was probed.",
        content=Curves((panels,)) if held else None,
        table=TextTable(("configuration", "load", "purpose", "answer", "validity", "seen"), tuple(rows)),
    )


def _by_load(probes: list[ProbeRow]) -> list[tuple[float, list[ProbeRow]]]:
    loads = sorted({probe.load for probe in probes})
    return [(load, [probe for probe in probes if probe.load == load]) for load in loads]


def _held(one: Sized, style: int) -> Line | None:
    groups = _by_load([probe for probe in one.probes if probe.answer in HELD_SHARE])
    if not groups:
        return None
    return Line(
        label=one.label,
        x=tuple(load for load, _ in groups),
        y=tuple(statistics.fmean(HELD_SHARE[probe.answer] for probe in group) for _, group in groups),
        style=style,
        doubtful=tuple(all(probe.validity != "VALID" for probe in group) for _, group in groups),
    )


def _speed(one: Sized, style: int) -> Line | None:
    """Loads whose probes have both values: what is stopped or INVALID has none worth showing."""
    whole = [p for p in one.probes if p.validity != "INVALID" and p.per_user is not None and p.throughput is not None]
    groups = _by_load(whole)
    if not groups:
        return None
    return Line(
        label=one.label,
        x=tuple(statistics.median(probe.per_user or 0.0 for probe in group) for _, group in groups),
        y=tuple(statistics.median(probe.throughput or 0.0 for probe in group) for _, group in groups),
        style=style,
        marks=tuple(digits(load) for load, _ in groups),
        doubtful=tuple(all(probe.validity != "VALID" for probe in group) for _, group in groups),
    )
