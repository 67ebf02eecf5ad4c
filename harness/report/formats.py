"""The formats of a report: one explicit table, file name → function from a view to bytes. A new format is one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.report import markdown, render
from harness.report.shown import View

FORMATS: Mapping[str, Callable[[View], bytes]] = {
    "report.html": render.html,
    "summary.md": markdown.summary,
}
REQUESTS_CSV = "requests.csv"  # made of the records, not of a view
