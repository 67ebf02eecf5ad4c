"""The page of an open loop: two views of latency, the schedule, overload in place of percentiles, loads without a rate.

And what lies beside the records: calibration, results of other tools, a cross-check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_run import Options as ClosedOptions
from fixture_run import edited
from open_loop_run import ONE_CLIENT, Options, write_open_loop_run
from read_page import read
from report_runs import SMALL, view

from harness.errors import RunFolderError
from harness.records.manifest import Point
from harness.records.store import RunFolder
from harness.report import loads, markdown, render
from harness.report.shown import Cell, Curves, Distributions, Panel, Section, View
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> View:
    return view(write_open_loop_run(tmp_path_factory.mktemp("open") / "run"))


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> View:
    return view(write_open_loop_run(tmp_path_factory.mktemp("tenants") / "run", Options(tenants=True, beside=False)))


def _cell(seen: View, row: int, group: str, label: str) -> Cell:
    at = next(n for n, column in enumerate(seen.table.columns) if (column.group, column.label) == (group, label))
    return seen.table.rows[row].cells[at]


def _section(sections: tuple[Section, ...], key: str) -> Section:
    return next(section for section in sections if section.key == key)


def _panels(seen: View, key: str) -> tuple[Panel, ...]:
    content = next(figure for figure in seen.figures if figure.key == key).content
    assert isinstance(content, Curves | Distributions)
    return content.rows[0]


def test_latency_from_the_send_stands_beside_the_one_from_the_intended_instant(seen: View) -> None:
    for group in ("TTFT", "Request latency"):
        cell = _cell(seen, 0, group, "p50")
        assert cell.beside.startswith("send ")
        assert float(cell.beside.removeprefix("send ")) <= float(cell.text)
    assert "count from the intended instant" in seen.sentence


def test_the_load_is_a_request_rate_and_so_is_the_axis(seen: View) -> None:
    assert [row.load for row in seen.table.rows] == ["5 req/s", "10 req/s", "30 req/s"]
    panels = _panels(seen, "percentiles")
    assert {panel.x_label for panel in panels} == {"request rate, intended (req/s)"}
    assert any(line.faint for line in panels[0].lines)


def test_offered_and_served_rates_and_the_lag_are_shown(seen: View) -> None:
    ((_, table),) = _section(seen.details, "schedule").tables
    assert [row[1] for row in table.rows] == ["5 req/s", "10 req/s", "30 req/s"]
    offered, served = (row.split()[0] for row in table.rows[2][2:4])
    assert float(offered) > 1.1 * float(served)
    assert _cell(seen, 2, "Requests", "served").beside == f"offered {offered}"
    assert table.rows[0][6].endswith(" ms")
    assert table.rows[0][7] == "needs 368 requests"


def test_an_unstable_point_shows_the_word_and_no_percentile_anywhere(seen: View) -> None:
    assert seen.table.rows[2].validity == "SUSPECT"
    for group in ("TTFT", "ITL", "Request latency"):
        assert _cell(seen, 2, group, "p50").text == "unstable"
    assert "unstable" in markdown.summary(seen).decode()
    shown = {line.label for panel in _panels(seen, "distributions") for line in panel.lines}
    assert shown == {"5 req/s", "10 req/s"}
    assert "30 req/s (unstable)" in next(figure.caption for figure in seen.figures if figure.key == "distributions")


def test_a_point_stopped_by_its_rule_says_so_instead_of_percentiles(tmp_path: Path) -> None:
    stopped = view(write_open_loop_run(tmp_path / "run", Options(stopped_saturated=True)))
    assert _cell(stopped, 2, "TTFT", "p95").text == "stopped: saturated"
    assert _cell(stopped, 0, "TTFT", "p95").text != "stopped: saturated"


def test_arrivals_that_were_never_sent_are_counted(tmp_path: Path) -> None:
    folder = write_open_loop_run(tmp_path / "run")
    table = folder.requests()
    rows = table.to_pylist()
    chosen = next(row for row in rows if row["point_id"] == "all-r5" and row["phase"] == "window")
    gone = dict.fromkeys(("sent_ns", "first_token_ns", "last_token_ns", "done_ns", "output_tokens_server"))
    chosen.update(gone | {"outcome": "not_sent", "chunk_offsets_ns": [], "chunk_tokens": []})
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder.path / "requests.parquet")
    schedule = _section(view(folder).details, "schedule")
    assert "1 were never sent" in schedule.texts[1]
    assert schedule.tables[0][1].rows[0][4] == "1"


def test_a_closed_loop_has_no_schedule_section(constructed_view: View) -> None:
    assert constructed_view.details == ()
    assert not any(cell.beside for row in constructed_view.table.rows for cell in row.cells)


def test_the_instruments_error_stands_in_the_table_where_it_is_calibrated(seen: View, constructed_view: View) -> None:
    cell = _cell(seen, 0, "Instrument ±", "TTFT")
    assert 0.15 <= float(cell.text) <= 0.25
    assert cell.beside.startswith("p99 ")
    assert cell.detail.startswith("gap p99 ")
    assert _cell(seen, 2, "Instrument ±", "TTFT").text == "n/a"  # nobody knows how many were in flight
    assert "Instrument ±" not in {column.group for column in constructed_view.table.columns}
    assert "harness calibrate" in constructed_view.table.note
    assert "harness calibrate" in _section(constructed_view.beside, "instrument").texts[0]


def test_results_of_other_tools_have_a_section_of_their_own_and_no_place_in_the_table(seen: View) -> None:
    foreign = _section(seen.beside, "foreign")
    assert foreign.tables[0][1].rows[0] == ("performance.request_throughput_req_s", "25.1", "1/s", "request_throughput")
    assert "25.1" not in {cell.text for row in seen.table.rows for cell in row.cells}
    assert "request_throughput_req_s" not in seen.machine_json
    assert read(render.html(seen).decode()).text.count("performance.request_throughput_req_s") == 1


def test_a_cross_check_says_agree_or_cannot_tell_with_both_values(seen: View) -> None:
    ((title, table),) = _section(seen.beside, "cross-check").tables
    assert title == "all-r10: agree"
    assert table.rows[0] == (
        "time_to_first_token_from_send p50",
        "32.0 (31.6–32.4) ± 0.30 ms",
        "32.2 (31.7–32.7) ± 0.40 ms",
        "agree",
    )
    assert table.rows[1][2:] == ("–", "cannot tell: the intervals are too wide: measure longer")


def test_a_run_without_them_has_no_such_sections(constructed_view: View) -> None:
    assert {section.key for section in constructed_view.beside} == {"instrument"}


def test_several_tenants_are_shown_each_with_its_own_numbers(tenants: View) -> None:
    ((label, table),) = _section(tenants.details, "tenants").tables
    assert label == "all requests, 2 tenants"
    assert [row[0] for row in table.rows] == ["batch", "chat"]
    assert table.headers == ("tenant", "requests", "TTFT p50", "TTFT p95", "error ratio", "goodput", "attainment")
    assert sum(int(row[1]) for row in table.rows) == int(tenants.table.rows[0].cells[0].text)


def test_turns_of_conversations_are_shown_first_to_last(tenants: View) -> None:
    ((_, table),) = _section(tenants.details, "turns").tables
    assert [row[0] for row in table.rows] == ["0", "1", "2"]
    assert all(row[2].split()[1] == "ms" for row in table.rows)


def test_one_tenant_needs_no_table(seen: View) -> None:
    assert {section.key for section in seen.details} == {"schedule"}


def test_a_kind_of_reason_is_listed_once_with_its_points_and_one_advice(constructed_view: View, seen: View) -> None:
    for found in (constructed_view, seen):
        kinds = [(finding.severity, finding.title) for finding in found.findings]
        assert len(kinds) == len(set(kinds)) > 0
        assert kinds == sorted(kinds, key=lambda kind: kind[0] != "INVALID")
    unstable = next(finding for finding in seen.findings if finding.title == "unstable")
    assert unstable.sightings[0][0] == "all requests, 30 req/s"


@pytest.mark.parametrize(
    ("arrivals", "words"),
    [
        ("{process: ramp, from_request_rate_per_s: 2, to_request_rate_per_s: 20}", "ramp 2 → 20 req/s"),
        ("{process: steps, request_rate_per_s: [5, 10, 5], step_s: 5}", "steps 5, 10, 5 req/s"),
        ("{process: trace, file: day.csv, time_scale: 2}", "trace day.csv × 2"),
    ],
)
def test_a_load_without_one_rate_is_named_by_its_arrivals(arrivals: str, words: str) -> None:
    scenario = _scenario(f"load: {{kind: open_loop, arrivals: {arrivals}}}\n")
    point = Point("all-x", "d", "all", "open_loop", None, 7.5, 1, 10, 8.0, 4.0)
    assert loads.name(point, scenario.load) == loads.label(point, scenario.load) == words


def test_a_load_of_rates_is_named_by_its_rate() -> None:
    point = Point("all-r5", "d", "all", "open_loop", None, 5.0, 1, 10, 8.0, 4.0)
    load = _scenario(ONE_CLIENT).load
    assert (loads.name(point, load), loads.label(point, load)) == ("5", "5 req/s")
    assert loads.process(load) == "Poisson arrivals"


def test_where_turns_follow_each_other_conversations_arrive() -> None:
    scenario = _scenario(ONE_CLIENT, ", sessions: {turns: 3, new_input_tokens: 4}")
    point = Point(scenario.workload[0].name, "d", scenario.workload[0].name, "open_loop", None, 5.0, 1, 10, 8.0, 4.0)
    assert loads.label(point, scenario.load, loads.arriving(point, scenario)) == "5 conversations/s"
    assert loads.arriving(point, _scenario(ONE_CLIENT)) == "req/s"


def _scenario(load: str, more: str = "") -> Scenario:
    head = f"version: 1\nname: x\ntarget: {{engine: cpu-tiny}}\nworkload: {{input_tokens: 8, output_tokens: 4{more}}}\n"
    return read_strict(head + load, Scenario, Path("x.yaml"))


@pytest.mark.parametrize("name", ["foreign.json", "cross_check.json", "calibration.json"])
def test_a_damaged_file_beside_the_records_is_said_by_name(tmp_path: Path, name: str) -> None:
    folder = write_open_loop_run(tmp_path / "run")
    (folder.path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(RunFolderError, match=name):
        view(folder)


def test_a_run_with_both_kinds_of_load_keeps_them_apart(run_with: Callable[[ClosedOptions], RunFolder]) -> None:
    folder = run_with(SMALL)
    closed, other = folder.manifest().points
    opened = dataclasses.replace(other, load_kind="open_loop", concurrency=None, request_rate_per_s=20.0)
    mixed = view(edited(folder, points=[closed, opened]))
    named = [(row.workload, row.load) for row in mixed.table.rows]
    assert named == [("short · closed loop", "concurrency 4"), ("short · open loop", "20 req/s")]
    assert "In the open loop TTFT and latency count from the intended instant" in mixed.sentence
    assert render.html(mixed)
