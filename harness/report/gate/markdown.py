"""The verdict as Markdown, for a merge request, GitHub's step summary, and the top of `summary.md`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.gate.shown import GateRow, GateView
from harness.report.markdown_text import bullets, plain, table

SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "INVALID": "⛔", "NOT_COMPARABLE": "⛔"}
HEADS = [
    "metric",
    "baseline",
    "candidate",
    "effect (+ is worse)",
    "margin",
    "verdict",
    "detectable",
]
RULE = ["---", "--:", "--:", "--:", "--:", "---", "--:", "--:"]


def summary(view: GateView) -> bytes:
    """The whole file of a gate that stands alone, in UTF-8."""
    return ("\n\n".join(blocks(view)) + "\n").encode("utf-8")


def blocks(view: GateView) -> list[str]:
    """The verdict, block by block: the sentence first."""
    differing = [row for row in view.identity if row.status in ("undeclared", "declared")]
    unknown = ", ".join(row.name for row in view.identity if row.status == "unknown")
    parts = [
        f"# {SIGNS[view.status]} {plain(view.sentence)}",
        plain(f"{view.title}: candidate {view.candidate} against baseline {view.baseline}"),
        metrics(view.gating, view.counted),
        bullets(f"{name}: {reason}" for name, reason in view.reasons),
        f"**Next step:** {plain(view.next_step)}" if view.next_step else "",
        bullets(f"Warning: {text}" for text in view.warnings),
        plain(f"{view.meaning} {view.how}"),
        *_information(view.information),
        plain(view.identity_summary),
        bullets(f"{row.name}: {row.baseline} → {row.candidate} ({_status(row.status, row.mark)})" for row in differing),
        plain(f"Not known on both sides: {unknown}.") if unknown else "",
    ]
    return [part for part in parts if part]


def metrics(rows: Sequence[GateRow], counted: str = "pairs") -> str:
    """The table of the gating metrics; nothing without any. `counted`: of what more would decide."""
    if not rows:
        return ""
    cells = [
        [r.name, r.baseline, r.candidate, _effect(r), r.margin, r.status, r.detectable, r.more_pairs] for r in rows
    ]
    return table([*HEADS, f"more {counted}"], cells, RULE)


def _information(rows: Sequence[GateRow]) -> list[str]:
    if not rows:
        return []
    cells = [[r.name, r.baseline, r.candidate, _effect(r)] for r in rows]
    return ["For information, not judged:", table(HEADS[:4], cells, RULE[:4])]


def _effect(row: GateRow) -> str:
    return f"{row.effect} {row.interval}" if row.interval != "–" else row.effect


def _status(status: str, mark: str) -> str:
    return f"{status}, {mark}" if mark else status
