"""The other formats: requests.csv, summary.md, the terminal's table, and the files in the folder."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from fixture_run import write_fixture_run
from report_runs import SMALL, view
from rich.console import Console

from harness.errors import RunFolderError
from harness.records.schemas import REQUESTS
from harness.records.store import RunFolder
from harness.report import csv as requests_csv
from harness.report import markdown, terminal
from harness.report.shown import View
from harness.report.writer import write_all


def test_every_request_is_a_row_of_the_csv_and_lists_are_left_out(constructed: RunFolder, tmp_path: Path) -> None:
    requests = constructed.requests()
    with requests_csv.write(constructed, tmp_path / "requests.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == requests.num_rows
    assert set(REQUESTS.names) - set(rows[0]) == {"chunk_offsets_ns", "chunk_tokens"}
    assert [row["request_id"] for row in rows] == requests["request_id"].to_pylist()
    assert {row["arm"] for row in rows} == {""}


def test_the_requests_come_in_pieces_that_add_up_to_the_table(constructed: RunFolder) -> None:
    requests = constructed.requests().select(requests_csv.FLAT.names)
    pieces = list(constructed.request_batches(requests_csv.FLAT.names, rows=100))
    assert len(pieces) > 10
    assert max(piece.num_rows for piece in pieces) <= 100
    assert pa.Table.from_batches(pieces) == requests.combine_chunks()


def test_all_files_lie_in_the_folder_afterwards_and_no_draft_is_left(tmp_path: Path) -> None:
    folder = write_fixture_run(tmp_path / "run", SMALL)
    written = write_all(folder, view(folder))
    assert [path.name for path in written] == ["report.html", "summary.md", "requests.csv"]
    assert all(path.stat().st_size > 0 for path in written)
    assert not list(folder.path.glob(".*.tmp"))


def test_a_file_that_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    folder = write_fixture_run(tmp_path / "run", SMALL)
    (folder.path / "report.html").mkdir()
    with pytest.raises(RunFolderError, match="cannot write the report") as caught:
        write_all(folder, view(folder))
    assert "harness report" in (caught.value.hint or "")


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_terminal_table_fits_its_width_and_keeps_the_words(constructed_view: View, width: int) -> None:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(terminal.table(constructed_view))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if line.startswith("long") and " 16 " in line)
    assert "INVALID" in row
    assert "…" not in "\n".join(lines)


def test_markdown_escapes_what_would_be_markup(constructed_view: View) -> None:
    text = markdown.summary(constructed_view).decode()
    assert "time\\_to\\_first\\_token" in text
    table = [line for line in text.splitlines() if line.startswith("| short")]
    columns = {line.count("|") - line.count("\\|") for line in table[:4]}
    assert columns == {len(constructed_view.table.columns) + 4}


def test_building_a_view_needs_no_drawing_library() -> None:
    code = "import sys, harness.report.view, harness.report.terminal; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
