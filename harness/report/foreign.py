"""What other tools reported of themselves, in a section of their own: never in the table of points, never judged."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.foreign import ForeignResult
from harness.report.shown import Section, TextTable

WARNING = (
    "Computed by the tools themselves, with windows, percentiles and definitions of their own. Nothing is compared "
    "with or gated against these numbers; “nearest here” names the metric of ours that resembles one most."
)


def section(results: Sequence[ForeignResult]) -> Section | None:
    """The section; None when nothing was imported."""
    if not results:
        return None
    texts = [WARNING, *(f"{result.source}: {note}." for result in results for note in result.notes)]
    tables = [table for result in results for table in _tables(result)]
    return Section("foreign", "Results of other tools", tuple(texts), tuple(tables))


def _tables(result: ForeignResult) -> list[tuple[str, TextTable]]:
    title = f"{result.tool}, {result.level} level: {result.source} (SHA-256 {result.sha256[:12]})"
    values = tuple((v.name, f"{v.value:.6g}", v.unit, v.nearest or "–") for v in result.values)
    tables = [(title, TextTable(("as the tool names it", "value", "unit", "nearest here"), values))]
    if result.facts:
        facts = tuple(sorted(result.facts.items()))
        tables.append((f"{result.tool}: what it ran on", TextTable(("as the tool names it", "value"), facts)))
    return tables
