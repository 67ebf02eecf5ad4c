"""The page: one file, no network, readable without sight and without colour, and nothing from outside runs in it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest
from fixture_run import Options, edited, with_description, write_fixture_run
from read_page import Page, read
from report_runs import SMALL, view

from harness.records.manifest import Deployment
from harness.records.store import RunFolder
from harness.report import render
from harness.report.render import embeddable
from harness.report.shown import View

HOSTILE = "</script></style><img src=x onerror=alert(1)>{{ 7*7 }}&<b>"


@pytest.fixture(scope="module")
def parsed(page: str) -> Page:
    return read(page)


def test_the_page_is_well_formed(parsed: Page) -> None:
    assert parsed.unbalanced == []
    assert parsed.open == []
    assert len(parsed.named("h1")) == 1
    assert [html["lang"] for html in parsed.named("html")] == ["en"]


def test_ids_are_unique_and_everything_referred_to_exists(parsed: Page, page: str) -> None:
    assert [name for name, count in Counter(parsed.ids).items() if count > 1] == []
    links = {tag["href"].removeprefix("#") for name in ("a", "use") for tag in parsed.named(name)}
    clips = set(re.findall(r"url\(#([^)]+)\)", page))
    labels = {name for tag in parsed.named("svg") for name in tag["aria-labelledby"].split()}
    assert links
    assert clips
    assert (links | clips | labels) - set(parsed.ids) == set()


def test_nothing_is_fetched_and_no_script_runs(parsed: Page, page: str) -> None:
    assert not re.search(r"\b(src|action|formaction|srcset|poster)=", page)
    assert all(tag["href"].startswith("#") for _, tag in parsed.tags if "href" in tag)
    assert "@import" not in page
    assert [tag["type"] for tag in parsed.named("script")] == ["application/json"]
    assert parsed.named("link") == parsed.named("iframe") == parsed.named("img") == []
    policies = [tag["content"] for tag in parsed.named("meta") if tag.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not re.search(r"\son\w+=", page)


def test_at_least_five_figures_each_say_in_words_what_they_show(parsed: Page) -> None:
    drawings = parsed.named("svg")
    assert len(drawings) == 6
    assert all(tag["role"] == "img" for tag in drawings)
    assert len(parsed.named("desc")) == len(drawings)
    assert len([tag for tag in parsed.named("title") if "id" in tag]) == len(drawings)
    assert parsed.text.count("The numbers of this figure as a table") == len(drawings)


def test_text_in_figures_is_text_and_colours_follow_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert all("<text" in drawing for drawing in drawings)
    assert not any(re.search(r"#0[12]0[12]\d\d", drawing) for drawing in drawings)
    used = set(re.findall(r"var\((--[\w-]+)\)", "".join(drawings)))
    defined = set(re.findall(r"(--[\w-]+):", page.partition("@media")[0]))
    assert {"--ink", "--series-0"} <= used <= defined


def test_dark_and_print_define_every_colour_of_the_figures(page: str) -> None:
    for medium in ("prefers-color-scheme: dark", "@media print"):
        after = page.partition(medium)[2].partition(":root {")[2].partition("}")[0]
        assert {f"--series-{number}" for number in range(6)} <= set(re.findall(r"--[\w-]+", after))


def test_no_number_is_shown_that_is_none(parsed: Page) -> None:
    assert not re.search(r"\b(nan|None|inf)\b", parsed.text, re.IGNORECASE)


def test_the_order_is_verdict_table_figures_reasons_identity_definitions(page: str) -> None:
    places = [
        page.index(mark)
        for mark in ("Can it be believed?", 'id="points"', 'id="throughput-latency-section"', 'id="validity"')
    ]
    places += [page.index(f'id="{name}"') for name in ("telemetry", "objectives", "identity", "definitions")]
    assert places == sorted(places)


def test_the_verdict_of_a_point_is_a_word_and_a_doubtful_one_is_marked_in_figures(
    parsed: Page, constructed_view: View
) -> None:
    assert {row.validity for row in constructed_view.table.rows} == {"VALID", "SUSPECT", "INVALID"}
    assert {"VALID", "SUSPECT", "INVALID"} <= set(parsed.texts)
    heat_map = next(figure for figure in constructed_view.figures if figure.key == "heat-map")
    assert "INVALID" in {cell.text for m in heat_map.content.maps for row in m.cells for cell in row}  # type: ignore[union-attr]


def test_a_closed_loop_says_from_when_latency_counts(parsed: Page) -> None:
    assert "TTFT and latency count from the send" in parsed.text


def test_the_machine_readable_numbers_are_the_assessment(parsed: Page, constructed_view: View) -> None:
    points = parsed.machine["assessment"]["points"]
    assert [point["point_id"] for point in points]
    ids = {row.point_id for row in constructed_view.table.rows}
    assert {point["point_id"] for point in points} == ids
    assert parsed.machine["assessment"]["validity"]["long-c16"]["status"] == "INVALID"


def test_json_cannot_leave_its_element() -> None:
    assert embeddable('"</script><!--\u2028"') == '"\\u003c/script>\\u003c!--\\u2028"'


def test_hostile_text_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    folder = write_fixture_run(tmp_path / "run", SMALL)
    manifest = folder.manifest()
    edited(
        folder,
        scenario_text=with_description(repr(HOSTILE)),
        notes=[HOSTILE],
        host={"kernel": HOSTILE},
        command_line=["harness", "run", HOSTILE],
        telemetry_not_available={"nvml": HOSTILE},
        deployments=[_hostile(manifest.deployments[0])],
    )
    page = render.html(view(folder)).decode()
    parsed = read(page)
    assert parsed.named("img") == parsed.named("b") == []
    assert parsed.unbalanced == []
    assert parsed.text.count(HOSTILE) >= 5
    assert "49" not in page.partition("<h1>")[2].partition("</header>")[0]
    assert parsed.machine["run_id"] == manifest.run_id


def _hostile(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, server={"version": HOSTILE})


def test_the_same_folder_gives_the_same_bytes(constructed: RunFolder, page: str) -> None:
    assert render.html(view(constructed)) == page.encode()


def test_gpu_strips_appear_with_a_gpu_and_a_reason_without_one(page: str, tmp_path: Path) -> None:
    assert "GPU power" in page
    without = render.html(view(write_fixture_run(tmp_path / "run", SMALL))).decode()
    assert "GPU power" not in without
    assert "no NVIDIA GPU on this host" in read(without).text


def test_chunks_of_several_tokens_show_tpot_and_inter_chunk_latency_instead_of_itl(tmp_path: Path) -> None:
    options = Options(concurrencies=(4,), workloads=(("short", 64, 7),), repetitions=1, tokens_per_chunk=2)
    shown = view(write_fixture_run(tmp_path / "run", options))
    assert {column.group for column in shown.table.columns} >= {"TPOT"}
    assert "inter-chunk latency" in next(figure.title for figure in shown.figures if figure.key == "distributions")


def test_what_is_too_long_for_a_line_is_a_document_to_unfold(run_of_small: RunFolder) -> None:
    manifest = run_of_small.manifest()
    models = {"ensemble": [{"name": f"input_{number}", "dims": ["-1"]} for number in range(40)]}
    server = {"configurations": models, "version": "2.51.0"}
    edited(run_of_small, deployments=[dataclasses.replace(manifest.deployments[0], server=server)])
    shown = view(run_of_small)
    assert "Server cpu-tiny: configurations" in dict(shown.documents)
    assert not any("input_39" in value for group in shown.identity for _, value in group.rows)
    assert ("server version", "2.51.0") in shown.identity[1].rows


@pytest.fixture
def run_of_small(tmp_path: Path) -> RunFolder:
    return write_fixture_run(tmp_path / "run", SMALL)


def test_what_goodput_asks_of_every_request_is_said(constructed_view: View, parsed: Page) -> None:
    bounds = ("time_to_first_token at most 400 ms", "request_latency at most 1500 ms")
    assert constructed_view.objectives.request_bounds == bounds
    assert "; ".join(bounds) in parsed.text
