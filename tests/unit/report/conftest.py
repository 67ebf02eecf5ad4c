"""The constructed run of tests/golden, as a view, for the tests of the report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "golden"))

from fixture_run import Options, write_fixture_run
from report_runs import view

from harness.records.store import RunFolder
from harness.report import render
from harness.report.shown import View


@pytest.fixture(scope="session")
def constructed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The whole constructed run, with GPU rows. Read only."""
    return write_fixture_run(tmp_path_factory.mktemp("constructed") / "run", Options(gpu=True))


@pytest.fixture(scope="session")
def constructed_view(constructed: RunFolder) -> View:
    """Its view."""
    return view(constructed)


@pytest.fixture(scope="session")
def page(constructed_view: View) -> str:
    """Its page."""
    return render.html(constructed_view).decode("utf-8")


@pytest.fixture
def run_with(tmp_path: Path) -> Callable[[Options], RunFolder]:
    """Writes another constructed run."""
    return lambda options: write_fixture_run(tmp_path / "run", options)
