"""The verdict as OpenMetrics text: GitLab's `artifacts:reports:metrics`, or a textfile collector.

Base units: seconds, ratios, tokens. Labels name what is measured, never which run, so that a merge request is compared
with its target branch line by line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.gate import verdict as verdicts
from harness.gate.pairs import BASELINE, CANDIDATE
from harness.gate.verdict import MetricVerdict, Verdict
from harness.report.gate import words
from harness.units import NS_PER_S

STATUSES = (verdicts.PASS, verdicts.FAIL, verdicts.INCONCLUSIVE, verdicts.INVALID, verdicts.NOT_COMPARABLE)
VALUES = {  # unit of the catalog → (family, its unit, factor)
    "ns": ("harness_gate_value_seconds", "seconds", 1 / NS_PER_S),
    "per_s": ("harness_gate_value_per_second", "", 1.0),
    "ratio": ("harness_gate_value_ratio", "ratio", 1.0),
    "tokens": ("harness_gate_value_tokens", "tokens", 1.0),
}
NUMBERS = {  # field of MetricVerdict → (family, help)
    "effect": ("harness_gate_effect_ratio", "Loss of the candidate, above 0 is worse."),
    "low": ("harness_gate_effect_low_ratio", "Lower end of the interval of the loss."),
    "high": ("harness_gate_effect_high_ratio", "Upper end of the interval of the loss."),
    "margin": ("harness_gate_margin_ratio", "Largest tolerable loss."),
    "minimum_detectable_effect": ("harness_gate_detectable_ratio", "Smallest loss this measurement would notice."),
}


@dataclass
class _Family:
    help: str
    unit: str
    kind: str = "gauge"
    lines: list[str] = field(default_factory=list)


def openmetrics(verdict: Verdict) -> bytes:
    """The text in UTF-8, with its `# EOF`."""
    where = {"scenario": verdict.scenario, "point": verdict.point_id or "", "gate": verdict.gate}
    families: dict[str, _Family] = {}
    state = families.setdefault(
        "harness_gate_verdict", _Family("The verdict: 1 at the one that holds.", "", "stateset")
    )
    for status in STATUSES:
        of_status = {**where, "harness_gate_verdict": status}
        state.lines.append(_line("harness_gate_verdict", of_status, float(status == verdict.status)))
    code = families.setdefault("harness_gate_exit_code", _Family("The exit code of the gate.", ""))
    code.lines.append(_line("harness_gate_exit_code", where, verdict.ending.code))
    pairs = families.setdefault("harness_gate_pairs", _Family("Pairs that were measured.", ""))
    pairs.lines.append(_line("harness_gate_pairs", where, verdict.pairs))
    for m in verdict.metrics:
        for name, about, unit, labels, value in _samples(m, where):
            family = families.setdefault(name, _Family(about, unit))
            family.lines.append(_line(name, labels, value))
    return "".join([*(_text(name, family) for name, family in families.items()), "# EOF\n"]).encode("utf-8")


def _samples(m: MetricVerdict, where: Mapping[str, str]) -> Iterator[tuple[str, str, str, Mapping[str, str], float]]:
    """(family, help, unit, labels, value) of one metric."""
    labels = {**where, "metric": m.metric, "statistic": m.statistic}
    family, unit, factor = VALUES.get(m.unit, ("harness_gate_value", "", 1.0))
    for arm in (BASELINE, CANDIDATE):
        value = words.middle(m, arm)
        if value is not None:
            yield family, "The value of the metric, median over pairs.", unit, {**labels, "arm": arm}, value * factor
    for attribute, (name, about) in NUMBERS.items():
        number = getattr(m, attribute)
        if number is not None:
            yield name, about, "ratio", labels, number


def _text(name: str, family: _Family) -> str:
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {name} {family.kind}\n{unit}# HELP {name} {family.help}\n" + "".join(family.lines)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    text = ",".join(f'{key}="{_escaped(content)}"' for key, content in labels.items())
    return f"{name}{{{text}}} {_number(value)}\n"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
