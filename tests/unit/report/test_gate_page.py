"""The section of a gate: readable in ten seconds, without sight, colour or network; and what is drawn, and where."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from fixture_run import write_fixture_run
from gate_verdicts import verdicts
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from read_page import Page, read
from report_runs import SMALL

from harness.assess.assess import assess
from harness.gate.verdict import MetricVerdict, Verdict
from harness.report import render
from harness.report.figures import forest as drawn_forest
from harness.report.figures import pairs as drawn_pairs
from harness.report.figures.style import settings
from harness.report.gate import forest, page, pairs
from harness.report.gate.shown import Forest, Pairs
from harness.report.gate.view import build
from harness.report.writer import view_of

GATES = verdicts()
HOSTILE = "</script></style><img src=x onerror=alert(1)>{{ 7*7 }}&<b>"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: page.html(build(gate)).decode() for name, gate in GATES.items()}


def with_metrics(name: str, metrics: Sequence[MetricVerdict]) -> Verdict:
    return dataclasses.replace(GATES[name], metrics=list(metrics))


@pytest.mark.parametrize("name", GATES)
def test_every_verdict_gives_a_well_formed_page_whose_first_words_are_the_verdict(
    pages: dict[str, str], name: str
) -> None:
    parsed = read(pages[name])
    assert parsed.unbalanced == parsed.open == []
    assert [tag for tag, count in Counter(parsed.ids).items() if count > 1] == []
    body = parsed.text.partition("\nGate\n")[2].splitlines()
    assert body[0] == GATES[name].status
    assert body[1] == GATES[name].sentence
    assert parsed.machine["status"] == GATES[name].status


def test_nothing_is_fetched_and_every_figure_has_words_and_a_table(pages: dict[str, str]) -> None:
    text = pages["fail"]
    parsed = read(text)
    assert not re.search(r"\b(src|action|srcset)=", text)
    assert all(tag["href"].startswith("#") for _, tag in parsed.tags if "href" in tag)
    assert [tag["type"] for tag in parsed.named("script")] == ["application/json"]
    drawings = parsed.named("svg")
    assert len(drawings) == len(parsed.named("desc")) == 2
    assert all(tag["role"] == "img" and tag["aria-labelledby"] for tag in drawings)
    assert parsed.text.count("The numbers of this figure as a table") == 2


def test_colours_follow_the_page_in_light_dark_and_print(pages: dict[str, str]) -> None:
    text = pages["inconclusive"]
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.search(r"#0[12]0[12]\d\d", drawings)
    used = set(re.findall(r"var\((--[\w-]+)\)", drawings))
    assert {"--good", "--doubt", "--shade"} <= used
    for medium in ("<style>", "prefers-color-scheme: dark", "@media print"):
        block = text.partition(medium)[2].partition(":root {")[2].partition("}")[0]
        assert used <= set(re.findall(r"--[\w-]+", block))


def test_the_same_verdict_gives_the_same_bytes(pages: dict[str, str]) -> None:
    assert page.html(build(GATES["fail"])).decode() == pages["fail"]


def test_hostile_text_is_shown_and_never_obeyed() -> None:
    first = dataclasses.replace(GATES["fail"].metrics[0], reason=HOSTILE, status="FAIL", metric="<b>x", method=HOSTILE)
    field = dataclasses.replace(GATES["fail"].identity[0], name=HOSTILE, baseline={"a": HOSTILE}, candidate=[HOSTILE])
    verdict = dataclasses.replace(
        GATES["fail"], sentence=HOSTILE, scenario=HOSTILE, baseline=HOSTILE, candidate=HOSTILE, next_step=HOSTILE,
        warnings=[HOSTILE], metrics=[first], identity=[field], testbed={HOSTILE: HOSTILE},
    )  # fmt: skip
    parsed = read(page.html(build(verdict)).decode())
    assert parsed.named("img") == parsed.named("b") == []
    assert parsed.unbalanced == parsed.open == []
    assert parsed.text.count(HOSTILE) >= 9
    assert parsed.machine["sentence"] == HOSTILE


def test_the_report_of_a_judged_run_carries_the_gate_on_top(tmp_path: Path) -> None:
    folder = write_fixture_run(tmp_path / "run", SMALL)
    view = dataclasses.replace(view_of(folder, assess(folder)), gate=build(GATES["fail"]))
    text = render.html(view).decode()
    parsed = read(text)
    assert parsed.unbalanced == parsed.open == []
    assert [tag for tag, count in Counter(parsed.ids).items() if count > 1] == []
    places = [
        text.index(mark) for mark in ('id="gate"', 'id="gate-forest-section"', "Can it be believed?", 'id="points"')
    ]
    assert places == sorted(places)


def test_a_gate_without_effects_draws_nothing_and_says_why_all_the_same() -> None:
    bare = dataclasses.replace(
        GATES["inconclusive"].metrics[1], effect=None, low=None, high=None, values=[], n=0,
        reason="no data in the candidate", minimum_detectable_effect=None, p_fail=None, method=None,
    )  # fmt: skip
    view = build(with_metrics("inconclusive", [bare]))
    assert view.figures == ()
    parsed = read(page.html(view).decode())
    assert "no data in the candidate" in parsed.text
    assert not re.search(r"\b(nan|None|inf)\b", parsed.text, re.IGNORECASE)


def test_identity_shows_what_blocks_first_and_folds_what_is_the_same(pages: dict[str, str]) -> None:
    rows = build(GATES["not-comparable"]).identity
    assert [row.status for row in rows] == ["undeclared", "undeclared", "declared", "unknown", "same", "same", "same"]
    assert [row.mark for row in rows][:3] == ["blocks the comparison", "noted", ""]
    shown, _, folded = pages["not-comparable"].partition("<summary>The 3 fields that are the same</summary>")
    assert "gpu_driver" in shown
    assert "scenario.load" in folded.partition("<script")[0]


# what is drawn


def drawn(verdict: Verdict) -> list[Axes]:
    figure = forest.figure(verdict)
    assert figure is not None
    assert isinstance(figure.content, Forest)
    with settings("test"):
        axes = drawn_forest.draw(figure.content).axes
    return [a for a in axes if a.get_xlabel()]  # without the twins that hold the words


def spans(axes: Axes) -> list[tuple[float, float]]:
    """The horizontal lines: the intervals, in the order of the rows."""
    segments = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    return [(s[0][0], s[1][0]) for s in segments if s[0][1] == s[1][1]]


def bands(axes: Axes) -> list[tuple[float, float]]:
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(box.get_x(), box.get_x() + box.get_width()) for box in boxes]


def test_ratios_stand_on_a_log_axis_with_their_intervals_and_margins_and_differences_on_their_own() -> None:
    verdict = GATES["fail"]
    ratios, differences = drawn(verdict)
    assert (ratios.get_xscale(), differences.get_xscale()) == ("log", "linear")
    expected = [(1 + m.low, 1 + m.high) for m in verdict.metrics if m.kind != "difference" and m.low is not None]
    assert spans(ratios) == [pytest.approx(pair) for pair in expected]
    ends = [right for _, right in bands(ratios)]
    assert ends == pytest.approx([1.05, 1.05, 1.05, 1.05, 1.10])
    assert bands(ratios)[-1][0] == pytest.approx(0.90)  # equivalence: closed on both sides
    assert {left for left, _ in bands(ratios)[:-1]} == {ratios.get_xlim()[0]}  # open to the good side
    assert bands(differences)[0][1] == pytest.approx(1.0)


def test_an_interval_without_an_end_is_an_arrow_at_the_edge() -> None:
    first = dataclasses.replace(GATES["fail"].metrics[0], effect=math.inf, low=0.4, high=math.inf, status="FAIL")
    (ratios,) = drawn(with_metrics("fail", [first, GATES["fail"].metrics[1]]))
    high = ratios.get_xlim()[1]
    assert math.isfinite(high)
    assert spans(ratios)[0] == pytest.approx((1.4, high))
    assert [line.get_marker() for line in ratios.lines].count(">") == 1


def test_a_slowdown_of_two_and_a_half_times_still_shows_the_margin() -> None:
    first = dataclasses.replace(GATES["fail"].metrics[1], effect=1.5, low=1.4, high=1.6)
    (ratios,) = drawn(with_metrics("fail", [first]))
    left, right = ratios.get_xlim()
    assert left < 1 < 1.05 < 2.5 < right
    assert 1 in ratios.get_xticks()


def test_within_a_pair_the_arm_measured_first_stands_left() -> None:
    figure = pairs.figure(GATES["fail"])
    assert figure is not None
    assert isinstance(figure.content, Pairs)
    with settings("test"):
        axes = drawn_pairs.draw(figure.content).axes[0]
    baseline = next(line for line in axes.lines if line.get_label() == "baseline").get_xdata()
    candidate = next(line for line in axes.lines if line.get_label() == "candidate").get_xdata()
    firsts = ["baseline" if b < c else "candidate" for b, c in zip(baseline, candidate, strict=True)]
    assert firsts == [pair.first for pair in GATES["fail"].metrics[0].values]


def test_pairs_show_the_values_in_the_unit_of_the_screen() -> None:
    content = pairs.figure(GATES["fail"])
    assert content is not None
    assert isinstance(content.content, Pairs)
    panel = content.content.rows[0][1]
    assert (panel.title, panel.y_label) == ("TTFT p95", "ms")
    assert panel.pairs[0].baseline == pytest.approx(412)


def test_a_run_against_a_baseline_shows_the_accepted_runs_and_then_the_one_judged() -> None:
    metric = GATES["pass"].metrics[1]
    accepted = [dataclasses.replace(v, candidate=None, d=None, first=None) for v in metric.values]
    judged = dataclasses.replace(accepted[0], index=len(accepted), baseline=None, candidate=500e6)
    weaker = dataclasses.replace(
        GATES["pass"], gate="run", metrics=[dataclasses.replace(metric, values=[*accepted, judged])]
    )
    figure = pairs.figure(weaker)
    assert figure is not None
    assert isinstance(figure.content, Pairs)
    with settings("test"):
        axes = drawn_pairs.draw(figure.content).axes[0]
    baseline, candidate = ({line.get_label(): line for line in axes.lines}[arm] for arm in ("baseline", "candidate"))
    assert max(baseline.get_xdata()) < min(candidate.get_xdata())
    assert list(candidate.get_ydata()) == [500]
    assert len(baseline.get_ydata()) == len(accepted)


def test_without_values_of_both_arms_there_are_no_pairs_to_draw() -> None:
    values = [dataclasses.replace(v, candidate=None) for v in GATES["pass"].metrics[0].values]
    metric = dataclasses.replace(GATES["pass"].metrics[0], values=values)
    assert pairs.figure(with_metrics("pass", [metric])) is None
    assert len(build(with_metrics("pass", [metric])).figures) == 1


def test_a_page_reads_as_a_page(pages: dict[str, str]) -> None:
    parsed: Page = read(pages["pass"])
    assert len(parsed.named("h1")) == 1
    assert [html["lang"] for html in parsed.named("html")] == ["en"]
    assert all("scope" in tag for tag in parsed.named("th"))
