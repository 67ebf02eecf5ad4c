"""The verdict in a terminal: its first line is the verdict, and no number is ever cut."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
from gate_verdicts import verdicts
from rich.console import Console

from harness.gate.verdict import Verdict
from harness.report.gate import terminal, words
from harness.report.gate.view import build

GATES = verdicts()


def printed(verdict: Verdict, width: int = 120) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, soft_wrap=True).print(terminal.verdict(build(verdict)))
    return text.getvalue().splitlines()


@pytest.mark.parametrize("name", GATES)
def test_the_first_line_is_the_verdict_as_a_sentence(name: str) -> None:
    gate = GATES[name]
    assert printed(gate)[0] == f"{gate.status}: {gate.sentence}"


def test_a_sentence_that_says_the_word_itself_is_not_told_twice() -> None:
    gate = dataclasses.replace(GATES["fail"], sentence="FAIL: 12% worse")
    assert printed(gate)[0] == "FAIL: 12% worse"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_number_of_a_metric_stands_on_its_line_at_any_width(width: int) -> None:
    text = " ".join(" ".join(printed(GATES["fail"], width)).split())
    assert "TTFT p95 422 ms 476 ms +12.7% [+11.0, +14.4] 5% FAIL" in text
    assert "…" not in text


def test_what_could_be_noticed_what_is_needed_and_the_next_step_are_always_said() -> None:
    text = "\n".join(printed(GATES["inconclusive"]))
    assert "smallest loss that would have been noticed: goodput 6.9%, TTFT p95 6.9%" in text
    assert "more pairs that would decide: TTFT p95 10, TPOT p95 10" in text
    assert "next: measure 10 more pairs" in text


def test_no_spread_is_no_promise_that_anything_would_be_noticed() -> None:
    noticed = next(line for line in printed(GATES["pass"]) if line.startswith("smallest loss"))
    assert "error ratio" not in noticed


def test_what_differs_without_being_declared_is_named() -> None:
    text = "\n".join(printed(GATES["not-comparable"]))
    assert "differs: gpu_product: NVIDIA A100-SXM4-80GB → NVIDIA H100 (blocks the comparison)" in text


def test_brackets_in_names_are_no_markup() -> None:
    gate = dataclasses.replace(GATES["fail"], candidate="[bold]x[/bold]", sentence="[red]y")
    text = "\n".join(printed(gate))
    assert "[bold]x[/bold]" in text
    assert "[red]y" in text


@pytest.mark.parametrize(
    ("number", "kind", "shown"),
    [
        (0.0714, "log_ratio", "+7.1%"),
        (-0.0714, "log_ratio", "−7.1%"),
        (1.5, "log_ratio", "+150%"),
        (0.00001, "log_ratio", "0.0%"),
        (-0.00001, "log_ratio", "0.0%"),
        (math.inf, "log_ratio", "+∞"),
        (-math.inf, "difference", "−∞"),
        (0.004, "difference", "+0.40 pt"),
        (None, "difference", "–"),
    ],
)
def test_a_loss_in_words(number: float | None, kind: str, shown: str) -> None:
    assert words.loss(number, kind) == shown


def test_a_log_ratio_is_turned_back_and_a_huge_one_is_infinite() -> None:
    assert words.loss_of(math.log(1.07)) == pytest.approx(0.07)
    assert words.loss_of(1e4) == math.inf


@pytest.mark.parametrize(
    ("margin", "kind", "shown"),
    [
        (0.05, "log_ratio", "5%"),
        (0.1, "equivalence", "±10%"),
        (0.01, "difference", "1 pt"),
        (0.025, "log_ratio", "2.5%"),
    ],
)
def test_a_margin_as_it_was_fixed(margin: float, kind: str, shown: str) -> None:
    assert words.margin(margin, kind) == shown
