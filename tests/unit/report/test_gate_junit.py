"""JUnit XML: what every reader of it knows, and a suite that is never green when the verdict is not PASS."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from xml.dom import minidom
from xml.etree import ElementTree as ET

import pytest
from gate_verdicts import verdicts

from harness.gate.verdict import Verdict
from harness.report.gate.junit import junit

GATES = verdicts()
# The rules that the XSDs of Jenkins' xunit plugin and of Ant's junitreport have in common, as far as they agree.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase"],
    "properties": ["property"],
    "property": [],
    "testcase": ["skipped", "error", "failure", "system-out"],
    "skipped": [],
    "error": [],
    "failure": [],
    "system-out": [],
}
REQUIRED = {
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "error": {"message", "type"},
    "failure": {"message", "type"},
}
ALLOWED = {**REQUIRED, "testsuites": {"name", "tests", "failures", "errors", "time"}, "skipped": {"message"}}


def parsed(verdict: Verdict, *, strict: bool = False) -> ET.Element:
    return ET.fromstring(junit(verdict, strict=strict))


def cases(root: ET.Element) -> dict[str, str]:
    """Name of a case → its outcome."""
    return {
        case.attrib["name"]: next((child.tag for child in case if child.tag != "system-out"), "passed")
        for case in root.iter("testcase")
    }


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_the_file_obeys_the_rules_that_the_schemas_share(name: str, strict: bool) -> None:
    for element in parsed(GATES[name], strict=strict).iter():
        tags = [child.tag for child in element]
        assert set(tags) <= set(CHILDREN[element.tag])
        assert tags == sorted(tags, key=CHILDREN[element.tag].index)
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib) <= ALLOWED.get(element.tag, set())
        if element.tag == "testcase":
            assert len(tags) <= 1


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_the_counts_are_those_of_the_cases(name: str, strict: bool) -> None:
    root = parsed(GATES[name], strict=strict)
    found = list(cases(root).values())
    for element in (root, root[0]):
        assert int(element.attrib["tests"]) == len(found) == len(root.findall(".//testcase"))
        assert int(element.attrib["failures"]) == found.count("failure")
        assert int(element.attrib["errors"]) == found.count("error")
    assert int(root[0].attrib["skipped"]) == found.count("skipped")


@pytest.mark.parametrize(
    ("name", "strict", "outcome"),
    [
        ("pass", False, "passed"),
        ("pass", True, "passed"),
        ("fail", False, "failure"),
        ("inconclusive", False, "skipped"),
        ("inconclusive", True, "error"),
        ("invalid", False, "error"),
        ("not-comparable", False, "skipped"),
        ("not-comparable", True, "error"),
    ],
)
def test_some_case_says_what_the_verdict_says(name: str, strict: bool, outcome: str) -> None:
    found = set(cases(parsed(GATES[name], strict=strict)).values())
    assert outcome in found
    assert found - {"passed"} == {outcome} - {"passed"}


@pytest.mark.parametrize("status", ["FAIL", "INCONCLUSIVE", "INVALID", "NOT_COMPARABLE"])
def test_metrics_that_all_pass_never_hide_a_verdict_that_does_not(status: str) -> None:
    verdict = dataclasses.replace(GATES["pass"], status=status)
    for strict in (False, True):
        found = cases(parsed(verdict, strict=strict))
        assert found["verdict"] != "passed"
        judged = status in ("FAIL", "INCONCLUSIVE")
        assert ("passed" in found.values()) is judged


def test_scenario_is_the_suite_and_a_gating_metric_a_case() -> None:
    root = parsed(GATES["fail"])
    assert root[0].attrib["name"] == "constructed-gate"
    assert list(cases(root)) == ["goodput", "TTFT p95", "TPOT p95", "output tokens/s", "error ratio", "output length"]
    assert cases(root)["TTFT p95"] == "failure"
    failure = root.find(".//failure")
    assert failure is not None
    assert "beyond the margin of 5%" in failure.attrib["message"]
    assert "minimum detectable effect 2.3%" in (failure.text or "")


def test_the_numbers_are_properties() -> None:
    verdict = GATES["fail"]
    numbers = {p.attrib["name"]: p.attrib["value"] for p in parsed(verdict).iter("property")}
    assert numbers["verdict"] == "FAIL"
    assert float(numbers["time_to_first_token.p95.effect"]) == verdict.metrics[1].effect
    assert float(numbers["goodput.margin"]) == 0.05
    assert numbers["request_latency.p95.verdict"] == "information"


def test_hostile_text_stays_text_for_two_parsers() -> None:
    said = "</testsuite>]]>&\x1b[31m\x00\ud800 \"<b>'"
    verdict = dataclasses.replace(
        GATES["fail"], scenario=said, sentence=said, candidate=said, next_step=said, metrics=[]
    )
    content = junit(verdict)
    clean = "</testsuite>]]>&\ufffd[31m\ufffd\ufffd \"<b>'"
    assert ET.fromstring(content)[0].attrib["name"] == clean
    (suite,) = minidom.parseString(content).getElementsByTagName("testsuite")
    assert suite.getAttribute("name") == clean


def test_an_infinite_loss_can_be_written() -> None:
    verdict = GATES["fail"]
    first = dataclasses.replace(verdict.metrics[0], effect=math.inf, high=math.inf, status="FAIL")
    numbers = {
        p.attrib["name"]: p.attrib["value"]
        for p in parsed(dataclasses.replace(verdict, metrics=[first])).iter("property")
    }
    assert float(numbers["goodput.effect"]) == math.inf


def test_the_sample_is_junit(tmp_path: Path) -> None:
    sample = Path(__file__).resolve().parents[3] / "reports" / "samples" / "gate-fail.junit.xml"
    assert ET.parse(sample).getroot().tag == "testsuites"
