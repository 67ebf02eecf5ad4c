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
    """The pairs, or the accepted runs and the one judged against them; None where there are not two values to see."""
    paired = verdict.gate != "run"
    having = [m for m in verdict.metrics if m.role == verdicts.GATING and _worth_drawing(m.values, paired)]
    if not having:
        return None
    panels = [_panel(m, "pair" if paired else "accepted runs, then the run that is judged") for m in having]
    rows = tuple(tuple(panels[at : at + COLUMNS]) for at in range(0, len(panels), COLUMNS))
    return FigureView(
        key="gate-pairs",
        title="The pairs: baseline and candidate, one after the other" if paired else "The runs, one after the other",
        description="One panel per gating metric, from left to right in the order of measurement: the value of the "
        "baseline and of the candidate" + (", those of a pair joined by a line." if paired else "."),
        caption=_caption(having, paired),
        content=Pairs(rows),
        table=_table(having, "pair" if paired else "run"),
    )


def _worth_drawing(values: Sequence[PairValue], paired: bool) -> bool:
    if paired:
        return any(pair.baseline is not None and pair.candidate is not None for pair in values)
    return sum(pair.baseline is not None for pair in values) > 1


def _caption(metrics: Sequence[MetricVerdict], paired: bool) -> str:
    ordered = any(pair.first is not None for m in metrics for pair in m.values)
    first = "Within a pair the arm that was measured first stands left. " if ordered else ""
    loss = "A loss that shows in some pairs only" if paired else "A run apart from the others"
    return f"{first}{loss}, or a level that drifts over all of them, shows here."


def _panel(m: MetricVerdict, x_label: str) -> PairsPanel:
    unit = screen_unit(m.unit)
    dots = tuple(_dots(pair, m) for pair in sorted(m.values, key=lambda pair: pair.index))
    return PairsPanel(words.name(m.metric, m.statistic), {"per second": "/s"}.get(unit, unit), dots, x_label)


def _dots(pair: PairValue, m: MetricVerdict) -> PairDots:
    baseline, candidate = (None if v is None else on_screen(v, m.unit) for v in (pair.baseline, pair.candidate))
    first = None if pair.first is None else pair.first == CANDIDATE
    return PairDots(pair.index + 1, baseline, candidate, first, _d(pair.d, m.kind))


def _d(d: float | None, kind: str) -> str:
    """d as a loss: of a ratio it is a logarithm, turned back here."""
    return words.loss(d if d is None or kind == words.POINTS else words.loss_of(d), kind)


def _table(metrics: Sequence[MetricVerdict], of: str) -> TextTable:
    headers = (f"metric, {of}", "first", "baseline", "candidate", "loss (above 0 is worse)")
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
