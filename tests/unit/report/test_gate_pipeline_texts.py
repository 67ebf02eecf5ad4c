"""What pipelines read besides JUnit: OpenMetrics, GitHub's annotations and step summary, Markdown."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from gate_verdicts import verdicts
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.gate.verdict import MetricVerdict, Verdict
from harness.report.gate import annotations, markdown
from harness.report.gate.openmetrics import openmetrics
from harness.report.gate.view import build

GATES = verdicts()


def samples(verdict: Verdict) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Name → samples, by prometheus_client's strict OpenMetrics parser."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(openmetrics(verdict).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


@pytest.mark.parametrize("name", GATES)
def test_openmetrics_can_be_parsed_and_names_one_verdict(name: str) -> None:
    found = samples(GATES[name])
    holding = [labels["harness_gate_verdict"] for labels, value in found["harness_gate_verdict"] if value == 1]
    assert holding == [GATES[name].status]
    assert found["harness_gate_exit_code"][0][1] == GATES[name].ending.code


def test_values_are_in_base_units() -> None:
    found = samples(GATES["pass"])
    seconds = {
        (labels["metric"], labels["arm"]): value
        for labels, value in found["harness_gate_value_seconds"]
        if labels["statistic"] == "p95"
    }
    assert seconds["time_to_first_token", "baseline"] == pytest.approx(0.4223)
    assert {labels["metric"] for labels, _ in found["harness_gate_value_ratio"]} == {"error_ratio"}


def test_labels_name_what_is_measured_and_never_which_run() -> None:
    other = dataclasses.replace(GATES["fail"], candidate="another image", sentence="x", next_step="y")
    labels = [[labels for labels, _ in found] for found in samples(GATES["fail"]).values()]
    assert labels == [[labels for labels, _ in found] for found in samples(other).values()]
    assert openmetrics(other) == openmetrics(GATES["fail"])


def test_an_infinite_loss_and_hostile_labels_are_written_as_openmetrics_has_them() -> None:
    first = dataclasses.replace(GATES["fail"].metrics[0], effect=math.inf, low=-math.inf)
    verdict = dataclasses.replace(GATES["fail"], scenario='a"b\\c\nd', metrics=[first])
    found = samples(verdict)
    assert found["harness_gate_effect_ratio"][0][1] == math.inf
    assert found["harness_gate_effect_low_ratio"][0][1] == -math.inf
    assert found["harness_gate_pairs"][0][0]["scenario"] == 'a"b\\c\nd'


def failing(number: int) -> MetricVerdict:
    return dataclasses.replace(
        GATES["fail"].metrics[1], statistic=f"p{number}", status="FAIL", reason=f"reason {number}"
    )


def test_there_are_never_more_than_ten_annotations_and_failures_come_before_the_rest() -> None:
    metrics = [*GATES["inconclusive"].metrics, *map(failing, range(8))]
    verdict = dataclasses.replace(GATES["fail"], metrics=metrics, warnings=["w"] * 9)
    lines = annotations.commands(verdict)
    assert len(lines) == 10
    assert lines[0].startswith("::error title=harness gate%3A FAIL::")
    assert all("reason" in line for line in lines[1:9])


@pytest.mark.parametrize(
    ("name", "strict", "levels"),
    [
        ("pass", False, {"notice", "warning"}),
        ("fail", False, {"error", "warning"}),
        ("inconclusive", False, {"warning"}),
        ("inconclusive", True, {"error", "warning"}),
        ("invalid", False, {"error", "warning"}),
    ],
)
def test_the_level_follows_the_verdict(name: str, strict: bool, levels: set[str]) -> None:
    lines = annotations.commands(GATES[name], strict=strict)
    assert {line.split()[0].removeprefix("::") for line in lines} == levels


def test_what_would_end_an_annotation_is_escaped() -> None:
    verdict = dataclasses.replace(GATES["fail"], sentence="50% a,b:c\r\n::error::x", metrics=[failing(9)], warnings=[])
    first, second = annotations.commands(verdict)
    assert first.endswith("::50%25 a,b:c%0D%0A::error::x")
    assert second.startswith("::error title=TTFT p9%3A FAIL::")
    assert "\n" not in first + second


def test_a_summary_that_does_not_fit_is_cut_at_the_end_of_a_line_and_says_so() -> None:
    line = "| é | wide |\n".encode()
    text = line * (annotations.SUMMARY_BYTES // len(line) + 100)
    cut = annotations.fitting(text, already=1_000)
    assert len(cut) <= annotations.SUMMARY_BYTES - 1_000
    assert cut.decode().endswith(annotations.CUT)
    assert set(cut.decode().removesuffix(annotations.CUT).splitlines()) == {"| é | wide |"}
    assert annotations.fitting(b"short\n", already=5) == b"short\n"
    assert annotations.fitting(text, already=annotations.SUMMARY_BYTES) == b""


def test_the_markdown_begins_with_the_verdict_and_its_table_has_as_many_cells_in_each_row() -> None:
    text = markdown.summary(build(GATES["inconclusive"])).decode()
    assert text.startswith("# ❔ INCONCLUSIVE: 6 pairs cannot decide TTFT p95 and TPOT p95")
    table = [line for line in text.splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table[:8]}
    assert cells == {9}
    assert "**Next step:** measure 10 more pairs" in text


def test_hostile_text_stays_text_in_markdown() -> None:
    verdict = dataclasses.replace(GATES["fail"], sentence="<img src=x>|a`b", candidate="[x](http://y)", next_step="*b*")
    text = markdown.summary(build(verdict)).decode()
    assert "<img" not in text.replace("\\<img", "")
    assert "\\[x\\](http://y)" in text
