"""How many probes a search takes: before it begins, and while it goes on. Estimates, for people who wait."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis.search import STEP, Probed, SearchSettings, confirmed, edges


def climb(settings: SearchSettings) -> list[float]:
    """The loads of the bracket, when the edge lies in the middle of the range (geometrically)."""
    loads, middle = [settings.lowest], math.sqrt(settings.lowest * settings.highest)
    while loads[-1] < middle:
        loads.append(min(loads[-1] * STEP, settings.highest))
    return loads


def estimated_probes(settings: SearchSettings) -> int:
    """About how many probes a search takes, when the edge lies in the middle of the range."""
    halving = math.ceil(math.log2(max(math.log(STEP) / math.log1p(settings.resolution), 1.0)))
    return len(climb(settings)) + halving + settings.confirmations


def probes_left(history: Sequence[Probed], settings: SearchSettings) -> int:
    """About how many probes are still to come, if none of them is undecided and every confirmation holds."""
    holds, fails = edges(history)
    if fails is None:
        climbing = math.ceil(math.log(settings.highest / (holds or settings.lowest / STEP), STEP))
        return max(climbing, 0) + settings.confirmations - (confirmed(history, holds) if holds is not None else 0)
    if holds is None:
        return 0
    gap = math.log(fails / holds) / math.log1p(settings.resolution)
    halving = max(math.ceil(math.log2(max(gap, 1.0))), 0)
    return halving + settings.confirmations - (confirmed(history, holds) if halving == 0 else 0)
