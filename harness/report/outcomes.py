"""What the figure of errors shows: the failed requests of every point's window by outcome."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.columns import FAILURES
from harness.report.places import Place
from harness.report.shown import Bars, FigureView, TextTable


def outcomes(found: Sequence[Place]) -> FigureView:
    """Failed requests by outcome, one bar per point. Without a failure there is no drawing, and the caption says so."""
    counts = [(place, _outcomes(place)) for place in found if place.summary is not None]
    kinds = tuple(kind for kind in FAILURES if any(c.get(kind, 0) for _, c in counts))
    shown = tuple(kind for kind in ("ok", "cancelled", *FAILURES) if any(c.get(kind, 0) for _, c in counts))
    total = sum(sum(c.values()) for _, c in counts)
    failed = sum(c.get(kind, 0) for _, c in counts for kind in kinds)
    bars = Bars(
        "failed requests in the window, all repetitions",
        tuple(place.label for place, _ in counts),
        kinds,
        tuple(tuple(c.get(kind, 0) for kind in kinds) for _, c in counts),
    )
    return FigureView(
        key="errors",
        title="Errors by outcome",
        description="One bar per point; its segments are the failed requests of the window by outcome.",
        caption=f"{failed} of the {total} requests in the windows failed." if failed else _no_failure(total),
        content=bars if failed else None,
        table=TextTable(
            ("point", "requests", *shown),
            tuple((p.label, str(sum(c.values())), *(str(c.get(kind, 0)) for kind in shown)) for p, c in counts),
        ),
    )


def _no_failure(total: int) -> str:
    return f"None of the {total} requests in the windows failed." if total else "No request fell into any window."


def _outcomes(place: Place) -> dict[str, int]:
    """Outcome → requests, over all repetitions."""
    counts: dict[str, int] = {}
    for repetition in place.summary.repetitions if place.summary is not None else ():
        for outcome, count in repetition.outcomes.items():
            counts[outcome] = counts.get(outcome, 0) + count
    return counts
