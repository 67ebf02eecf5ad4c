"""What the figure of the pairs shows: both values of every pair of every gating metric, in the order of measurement."""

from __future__ import annotations

from collections.abc import Sequence

from harness.gate import verdict as verdicts
from harness.gate.pairs import CANDIDATE
from harness.gate.verdict import MetricVerdict, PairValue, Verdict
from harness.report.gate import words
from harness.report.gate.shown import PairDots, Pairs, PairsPanel
from harness.report.numbers import on_screen, screen_unit
from harness.report.shown import FigureView, TextTable

COLUMNS = 3


def figure(verdict: Verdict) -> FigureView | None:
    """The pairs; None where there are none (an objective, a run against a baseline)."""
    having = [m for m in verdict.metrics if m.role == verdicts.GATING and _paired(m.values)]
    if not having:
        return None
    panels = [_panel(m) for m in having]
    rows = tuple(tuple(panels[at : at + COLUMNS]) for at in range(0, len(panels), COLUMNS))
    ordered = any(pair.first is not None for m in having for pair in m.values)
    return FigureView(
        key="gate-pairs",
        title="The pairs: baseline and candidate, one after the other",
        description="One panel per gating metric, one group per pair: the value of the baseline and of the candidate, "
        "joined by a line.",
        caption=("Within a pair the arm that was measured first stands left. " if ordered else "")
        + "A loss that only shows in some pairs, or a level that drifts over all of them, shows here.",
        content=Pairs(rows),
        table=_table(having),
    )


def _paired(values: Sequence[PairValue]) -> bool:
    return any(pair.baseline is not None and pair.candidate is not None for pair in values)


def _panel(m: MetricVerdict) -> PairsPanel:
    unit = screen_unit(m.unit)
    dots = tuple(_dots(pair, m) for pair in sorted(m.values, key=lambda pair: pair.index))
    return PairsPanel(words.name(m.metric, m.statistic), {"per second": "/s"}.get(unit, unit), dots)


def _dots(pair: PairValue, m: MetricVerdict) -> PairDots:
    baseline, candidate = (None if v is None else on_screen(v, m.unit) for v in (pair.baseline, pair.candidate))
    first = None if pair.first is None else pair.first == CANDIDATE
    return PairDots(pair.index + 1, baseline, candidate, first, _d(pair.d, m.kind))


def _d(d: float | None, kind: str) -> str:
    """d as a loss: of a ratio it is a logarithm, turned back here."""
    return words.loss(d if d is None or kind == words.POINTS else words.loss_of(d), kind)


def _table(metrics: Sequence[MetricVerdict]) -> TextTable:
    headers = ("metric, pair", "first", "baseline", "candidate", "loss (above 0 is worse)")
    rows = [
        (
            f"{words.name(m.metric, m.statistic)}, {pair.index + 1}",
            pair.first or words.NONE,
            words.value(pair.baseline, m.unit),
            words.value(pair.candidate, m.unit),
            _d(pair.d, m.kind),
        )
        for m in metrics
        for pair in sorted(m.values, key=lambda pair: pair.index)
    ]
    return TextTable(headers, tuple(rows))
