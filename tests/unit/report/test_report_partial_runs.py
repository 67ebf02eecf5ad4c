"""Runs that are not whole: no success, nothing measured, interrupted, no telemetry. Each renders and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fixture_run import Options, edited
from read_page import Page, read
from report_runs import view
from rich.console import Console

from harness.records.store import RunFolder
from harness.report import markdown, render, terminal
from harness.report.shown import View

Write = Callable[[Options], RunFolder]
ONE = {"concurrencies": (4,), "workloads": (("short", 64, 7),), "repetitions": 1}


def rendered(shown: View) -> Page:
    """The page, after every other format was rendered too."""
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(terminal.table(shown))
    assert markdown.summary(shown)
    page = read(render.html(shown).decode())
    assert page.unbalanced == []
    return page


def captions(shown: View) -> dict[str, str]:
    """Caption by figure, of the figures that are not drawn."""
    return {figure.key: figure.caption for figure in shown.figures if figure.content is None}


def test_one_point_alone_is_drawn(run_with: Write) -> None:
    shown = view(run_with(Options(**ONE)))
    assert captions(shown) == {}
    assert len(rendered(shown).named("svg")) == 6


def test_without_a_single_success_no_latency_is_drawn_and_the_run_is_invalid(run_with: Write) -> None:
    shown = view(run_with(Options(**ONE, every_request_fails=True)))
    assert shown.verdict.word == "INVALID"
    assert captions(shown).keys() == {"throughput-latency", "percentiles", "distributions", "heat-map"}
    assert "no request of any window received a token" in rendered(shown).text


def test_an_interrupted_run_says_where_it_stopped(run_with: Write) -> None:
    options = Options(concurrencies=(4, 8), workloads=(("short", 64, 7),), repetitions=1, interrupted=True)
    shown = view(run_with(options))
    assert any("interrupted at point short-c8" in note for note in shown.notes)
    assert {row.point_id: row.validity for row in shown.table.rows}["short-c8"] == "INVALID"
    assert "interrupted at point short-c8" in rendered(shown).text


def test_without_telemetry_the_timeline_shows_the_clients_and_names_what_is_missing(run_with: Write) -> None:
    shown = view(run_with(Options(**ONE, telemetry=False)))
    timeline: Any = next(figure for figure in shown.figures if figure.key == "timeline")
    assert [track.y_label for track in timeline.content.tracks] == [
        "in flight",
        "sent\nreq/s",
        "TTFT\nms",
        "output\ntokens/s",
    ]
    assert "No strip for: host, Triton’s metrics page, GPU" in timeline.caption
    assert "the metrics page did not answer" in rendered(shown).text


def test_a_run_in_which_nothing_was_measured_says_so(run_with: Write) -> None:
    shown = view(edited(run_with(Options(**ONE)), measurements=[]))
    assert shown.verdict.word == "NO DATA"
    assert {row.validity for row in shown.table.rows} == {"NOT MEASURED"}
    assert len(captions(shown)) == 6
    assert "Nothing was measured" in rendered(shown).text


def test_points_that_are_missing_are_counted_in_the_verdict(run_with: Write) -> None:
    options = Options(concurrencies=(4, 8), workloads=(("short", 64, 7),), repetitions=1)
    folder = run_with(options)
    kept = [m for m in folder.manifest().measurements if m.point_id == "short-c4"]
    shown = view(edited(folder, measurements=kept))
    assert "1 planned point not measured" in shown.verdict.sentence
    assert [row.validity for row in shown.table.rows][1] == "NOT MEASURED"


@pytest.mark.parametrize("word", ["| short | 4 |", "needs 368", "no NVIDIA GPU on this host"])
def test_what_matters_is_in_the_summary_for_ci(run_with: Write, word: str) -> None:
    assert word in markdown.summary(view(run_with(Options(**ONE)))).decode()
