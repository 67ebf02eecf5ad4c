"""A small constructed run, and the view of any run folder, for the tests of the report."""

from __future__ import annotations

from fixture_run import Options

from harness.assess.assess import assess
from harness.records.store import RunFolder
from harness.report.shown import View
from harness.report.writer import view_of

SMALL = Options(concurrencies=(4, 8), workloads=(("short", 64, 7),), repetitions=1)


def view(folder: RunFolder) -> View:
    """The view of a run folder."""
    return view_of(folder, assess(folder))
