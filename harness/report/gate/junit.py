"""The verdict as JUnit XML: the scenario is the suite, a gating metric a case.

FAIL is a failure. INCONCLUSIVE and NOT_COMPARABLE are skipped, with `strict` errors; INVALID is an error. Numbers are
properties of the suite, because a property of a case is not known to every reader. No reader may see a suite that
looks green when the verdict is not PASS: where no metric says what the verdict says, a case named "verdict" does.
"""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree as ET

from harness.gate import verdict as verdicts
from harness.gate.verdict import MetricVerdict, Verdict
from harness.report.gate import words

FAILURE, SKIPPED, ERROR = "failure", "skipped", "error"
WHOLE = "verdict"  # the name of the case for the verdict as a whole
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not a character of XML 1.0
NUMBERS = ("effect", "low", "high", "margin", "minimum_detectable_effect", "more_pairs_needed", "p_fail_adjusted", "n")


@dataclasses.dataclass(frozen=True)
class _Case:
    name: str
    outcome: str | None  # None: passed
    status: str
    message: str
    details: str = ""


def junit(verdict: Verdict, *, strict: bool = False) -> bytes:
    """The file in UTF-8. `strict`: what is not decided is an error."""
    cases = _cases(verdict, strict)
    counts = {
        "tests": len(cases),
        "failures": sum(case.outcome == FAILURE for case in cases),
        "errors": sum(case.outcome == ERROR for case in cases),
        "skipped": sum(case.outcome == SKIPPED for case in cases),
    }
    numbers = {name: str(count) for name, count in counts.items()} | {"time": "0"}
    whole = {name: number for name, number in numbers.items() if name != "skipped"}  # not known of <testsuites>
    root = ET.Element("testsuites", {"name": "harness gate", **whole})
    suite = ET.SubElement(root, "testsuite", {"name": _clean(verdict.scenario), **numbers})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(verdict):
        ET.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})
    class_name = ".".join(filter(None, (verdict.scenario, verdict.point_id)))
    for case in cases:
        _add(suite, case, class_name)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _cases(verdict: Verdict, strict: bool) -> list[_Case]:
    judged = verdict.status not in (verdicts.INVALID, verdicts.NOT_COMPARABLE)
    gating = [m for m in verdict.metrics if m.role == verdicts.GATING]
    cases = [_case(m, strict) if judged else _not_judged(m, verdict) for m in gating]
    outcome = outcome_of(verdict.status, strict)
    if not cases or (outcome is not None and outcome not in {case.outcome for case in cases}) or not judged:
        cases.insert(0, _Case(WHOLE, outcome, verdict.status, verdict.sentence, verdict.next_step or ""))
    return cases


def outcome_of(status: str, strict: bool) -> str | None:
    """The element that a status becomes; None for a pass."""
    if status == verdicts.PASS:
        return None
    if status == verdicts.FAIL:
        return FAILURE
    return ERROR if strict or status == verdicts.INVALID else SKIPPED


def _case(m: MetricVerdict, strict: bool) -> _Case:
    return _Case(words.name(m.metric, m.statistic), outcome_of(m.status, strict), m.status, m.reason, _details(m))


def _not_judged(m: MetricVerdict, verdict: Verdict) -> _Case:
    return _Case(words.name(m.metric, m.statistic), SKIPPED, verdict.status, f"not judged: {verdict.status}")


def _details(m: MetricVerdict) -> str:
    interval = words.interval(m.low, m.high, m.kind)
    said = [f"effect {words.loss(m.effect, m.kind)} {interval}, margin {words.margin(m.margin, m.kind)}"]
    said += [f"minimum detectable effect {words.loss(m.minimum_detectable_effect, m.kind, signed=False)}, n = {m.n}"]
    said += [] if m.more_pairs_needed is None else [f"more pairs needed: {m.more_pairs_needed}"]
    return "\n".join(said)


def _properties(verdict: Verdict) -> list[tuple[str, str]]:
    known = {
        "verdict": verdict.status,
        "sentence": verdict.sentence,
        "gate": verdict.gate,
        "point": verdict.point_id,
        "baseline": verdict.baseline,
        "candidate": verdict.candidate,
        "pairs": verdict.pairs,
        "look": verdict.look,
        "alpha": verdict.alpha,
    }
    for m in verdict.metrics:
        key = m.metric if m.statistic == "value" else f"{m.metric}.{m.statistic}"
        known |= {f"{key}.{name}": getattr(m, name) for name in NUMBERS}
        known[f"{key}.verdict"] = m.status if m.role == verdicts.GATING else verdicts.INFORMATION
    return [(name, str(value)) for name, value in known.items() if value is not None]


def _add(suite: ET.Element, case: _Case, class_name: str) -> None:
    element = ET.SubElement(suite, "testcase", {"name": case.name, "classname": _clean(class_name), "time": "0"})
    if case.outcome is not None:
        attributes = {"message": _clean(case.message)}
        if case.outcome != SKIPPED:
            attributes["type"] = case.status
        ET.SubElement(element, case.outcome, attributes).text = _clean(case.details) or None
    elif case.details:
        ET.SubElement(element, "system-out").text = _clean(case.details)


def _clean(text: str) -> str:
    """The text without what XML cannot hold, e.g. an escape sequence in a server's message."""
    return _FORBIDDEN.sub("\ufffd", text)
