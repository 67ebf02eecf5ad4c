"""How many pairs to measure next. A pure function of what is known; the campaign obeys it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.gate.decision import Decision
from harness.gate.rule import Rule
from harness.gate.verdict import INCONCLUSIVE

ATTEMPTS = 2  # pairs measured at most, as a multiple of the last look: invalid pairs are measured anew


@dataclass(frozen=True)
class NextLook:
    """`pairs` more to measure (0: stop), for which look (from 1), and why."""

    pairs: int
    look: int | None
    why: str


def next_look(
    decision: Decision | None, rule: Rule, measured: int, time_left_s: float | None, seconds_per_pair: float | None
) -> NextLook:
    """The pairs to measure next, or the reason to stop.

    `decision` None: nothing was measured yet. `measured` counts unusable pairs too. The time budget (None: none) bounds
    extensions; the first look is always measured.
    """
    if decision is None:
        return NextLook(rule.looks[0], 1, f"the first look needs {rule.looks[0]} pairs")
    if decision.status != INCONCLUSIVE:
        return NextLook(0, None, f"decided: {decision.status}")
    following = [(k, n) for k, n in enumerate(rule.looks, 1) if n > decision.pairs]
    if not following:
        return NextLook(0, None, f"undecided after the last look, {rule.looks[-1]} pairs")
    gating = decision.metrics[: len(rule.metrics)]
    missing = [m for m in gating if m.n == 0 and m.status == INCONCLUSIVE]
    if missing and decision.pairs:
        return NextLook(0, None, f"more pairs do not help: {missing[0].metric} {missing[0].statistic} is missing")
    look, size = following[0]
    more = size - decision.pairs
    if measured + more > ATTEMPTS * rule.looks[-1]:
        return NextLook(0, None, f"too many of {measured} pairs could not be used")
    if look > 1 and time_left_s is not None and seconds_per_pair is not None and more * seconds_per_pair > time_left_s:
        return NextLook(
            0,
            None,
            f"look {look} needs {more} more pairs, {more * seconds_per_pair:.0f} s; "
            f"{max(time_left_s, 0):.0f} s are left",
        )
    return NextLook(more, look, f"look {look} needs {more} more pairs")
