"""The view of a gate: a `Verdict` in, words and plottable numbers out. Pure; no number is computed but for medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.gate import verdict as verdicts
from harness.gate.pairs import BASELINE, CANDIDATE
from harness.gate.verdict import FieldComparison, MetricVerdict, Verdict
from harness.gate.verdict_json import gate_json
from harness.report.gate import forest, pairs, words
from harness.report.gate.shown import GateRow, GateView, IdentityRow
from harness.report.shown import FigureView, TextTable

MEANINGS = {
    verdicts.PASS: "Every gating metric was shown to be inside its margin.",
    verdicts.FAIL: "At least one gating metric was shown to be beyond its margin.",
    verdicts.INCONCLUSIVE: "The data can neither show that it is inside the margins nor that it is beyond one. "
    "This is not a pass.",
    verdicts.INVALID: "The measurement cannot be believed, so nothing was judged.",
    verdicts.NOT_COMPARABLE: "The two sides differ in more than what is on trial, so nothing was judged.",
}
TITLES = {
    "pair": "Candidate against baseline, measured in interleaved pairs",
    "run": "One run against an accepted baseline (the weaker form: no fresh measurement of the baseline)",
    "objectives": "One run against the objectives of its scenario",
}


def build(verdict: Verdict) -> GateView:
    """The view of a verdict."""
    gating = [m for m in verdict.metrics if m.role == verdicts.GATING]
    information = [m for m in verdict.metrics if m.role != verdicts.GATING]
    return GateView(
        title=f"{verdict.scenario}{f', point {verdict.point_id}' if verdict.point_id else ''}",
        status=verdict.status,
        sentence=_sentence(verdict),
        meaning=MEANINGS[verdict.status],
        baseline=verdict.baseline,
        candidate=verdict.candidate,
        how=_how(verdict),
        next_step=verdict.next_step or "",
        gating=tuple(map(_row, gating)),
        information=tuple(map(_row, information)),
        reasons=tuple((words.name(m.metric, m.statistic), m.reason) for m in gating if m.status != verdicts.PASS),
        warnings=tuple(verdict.warnings),
        figures=_figures(verdict),
        identity=_identity(verdict.identity),
        identity_summary=_identity_summary(verdict.identity),
        testbed=_testbed(verdict.testbed),
        machine_json=gate_json(verdict),
        counted="accepted runs" if verdict.gate == "run" else "pairs",
    )


def _sentence(verdict: Verdict) -> str:
    """The verdict's sentence, the word in front."""
    said = verdict.sentence.strip()
    return said if said.startswith(verdict.status) else f"{verdict.status}: {said}"


def _how(verdict: Verdict) -> str:
    parts = [TITLES.get(verdict.gate, verdict.gate)]
    if verdict.pairs:
        parts.append(f"{verdict.pairs} pair{'' if verdict.pairs == 1 else 's'}")
    if verdict.look is not None and verdict.looks:
        looks = ", ".join(map(str, verdict.looks))
        parts.append(f"look {verdict.look} of {len(verdict.looks)} declared (at {looks} pairs)")
    if verdict.alpha is not None and verdict.metrics:
        over = "over all looks, " if verdict.looks else ""
        parts.append(f"error rate {100 * verdict.alpha:g}% one-sided, {over}Holm over the metrics")
    return "; ".join(parts) + "."


def _row(m: MetricVerdict) -> GateRow:
    return GateRow(
        name=words.name(m.metric, m.statistic),
        metric=m.metric,
        statistic=m.statistic,
        baseline=words.value(words.middle(m, BASELINE), m.unit),
        candidate=words.value(words.middle(m, CANDIDATE), m.unit),
        effect=words.loss(m.effect, m.kind),
        interval=words.interval(m.low, m.high, m.kind),
        margin=words.margin(m.margin, m.kind),
        status=m.status,
        reason=m.reason,
        detectable=words.loss(m.minimum_detectable_effect or None, m.kind, signed=False),  # 0: no spread, no promise
        more_pairs="" if m.more_pairs_needed is None else str(m.more_pairs_needed),
        n=str(m.n),
        method=words.method(m.method),
        gating=m.role == verdicts.GATING,
    )


def _figures(verdict: Verdict) -> tuple[FigureView, ...]:
    return tuple(figure for figure in (forest.figure(verdict), pairs.figure(verdict)) if figure is not None)


ORDER = ("undeclared", "declared", "unknown", "same")


def _identity(fields: Sequence[FieldComparison]) -> tuple[IdentityRow, ...]:
    ordered = sorted(fields, key=lambda f: (ORDER.index(f.status), not f.blocking, f.name))
    return tuple(IdentityRow(f.name, _shown(f.baseline), _shown(f.candidate), f.status, _mark(f)) for f in ordered)


def _mark(field: FieldComparison) -> str:
    if field.status != "undeclared":
        return ""
    return "blocks the comparison" if field.blocking else "noted"


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(content)}" for name, content in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _identity_summary(fields: Sequence[FieldComparison]) -> str:
    if not fields:
        return "No identity was compared."
    counts = {status: sum(f.status == status for f in fields) for status in ORDER}
    names = {
        "undeclared": "different without being declared",
        "unknown": "not known on both sides",
        "declared": "different as declared (the treatment)",
        "same": "the same",
    }
    parts = [f"{count} {names[status]}" for status, count in counts.items() if count]
    return f"{len(fields)} identity fields were compared: {', '.join(parts)}."


def _testbed(testbed: Mapping[str, Any] | None) -> TextTable | None:
    if not testbed:
        return None
    return TextTable(("of the test bed, from A/A pairs", "value"), tuple((k, _shown(v)) for k, v in testbed.items()))
