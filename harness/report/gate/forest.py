"""What the forest plot shows: each metric's effect with its interval, and how much of it the margin tolerates."""

from __future__ import annotations

from collections.abc import Sequence

from harness.gate import verdict as verdicts
from harness.gate.verdict import MetricVerdict, Verdict
from harness.report.gate import words
from harness.report.gate.shown import Axis, Forest, ForestPanel, ForestRow
from harness.report.shown import FigureView, TextTable

LABELS: dict[Axis, str] = {
    "ratio": "← better\u2003\u2003loss of the candidate as a ratio (log scale; 1.05: 5% worse)\u2003\u2003worse →",
    "points": "← better\u2003\u2003loss of the candidate in percentage points\u2003\u2003worse →",
}


def figure(verdict: Verdict) -> FigureView | None:
    """The forest plot; None where no metric has an effect to draw."""
    drawn = [m for m in verdict.metrics if m.effect is not None]
    if not drawn:
        return None
    panels = [_panel("ratio", [m for m in drawn if m.kind != words.POINTS])]
    panels.append(_panel("points", [m for m in drawn if m.kind == words.POINTS]))
    return FigureView(
        key="gate-forest",
        title="Effect of the candidate on each metric, with its margin",
        description="One row per metric: a marker at the effect, a line for its interval, a shaded band for what the "
        "margin tolerates. Metrics that are only for information have no band.",
        caption="A metric passes when its whole line lies inside the band, fails when all of it lies beyond, and "
        "decides nothing when it crosses the edge. The dashed line is no difference. "
        "A band that ends on both sides asks for equal, not for at most: shorter answers must not pass as faster.",
        content=Forest(tuple(panel for panel in panels if panel.rows)),
        table=_table(drawn),
    )


def _panel(axis: Axis, metrics: Sequence[MetricVerdict]) -> ForestPanel:
    return ForestPanel(axis, LABELS[axis], tuple(_row(axis, m) for m in metrics))


def _row(axis: Axis, m: MetricVerdict) -> ForestRow:
    effect = m.effect or 0.0
    low, high = (effect if end is None else end for end in (m.low, m.high))
    gating = m.role == verdicts.GATING
    tolerated = _tolerated(axis, m.kind, m.margin) if gating and m.margin is not None else (None, None)
    interval = words.interval(m.low, m.high, m.kind)
    return ForestRow(
        label=words.name(m.metric, m.statistic),
        text=f"{words.loss(m.effect, m.kind)} {interval if interval != words.NONE else ''}".strip(),
        effect=_at(axis, effect),
        low=_at(axis, low),
        high=_at(axis, high),
        tolerated_low=tolerated[0],
        tolerated_high=tolerated[1],
        status=m.status,
        gating=gating,
    )


def _tolerated(axis: Axis, kind: str, margin: float) -> tuple[float | None, float | None]:
    """The band of the margin on the axis; open to the good side but for an equivalence, which is 1 ± margin."""
    closed = kind == "equivalence" and margin < 1
    return (_at(axis, -margin) if closed else None, _at(axis, margin))


def _at(axis: Axis, loss: float) -> float:
    return 1 + loss if axis == "ratio" else 100 * loss


def _table(metrics: Sequence[MetricVerdict]) -> TextTable:
    headers = ("metric", "effect (above 0 is worse)", "interval", "margin", "verdict")
    return TextTable(headers, tuple(_cells(m) for m in metrics))


def _cells(m: MetricVerdict) -> tuple[str, ...]:
    interval, margin = words.interval(m.low, m.high, m.kind), words.margin(m.margin, m.kind)
    status = m.status if m.role == verdicts.GATING else "for information"
    return (words.name(m.metric, m.statistic), words.loss(m.effect, m.kind), interval, margin, status)
