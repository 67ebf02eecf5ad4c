"""Searches that look at no objective: where throughput stops growing, and how fast one user is served at light load.

`throughput`: the load is doubled from `lowest` until a doubling adds less than `resolution`, or up to `highest`; then
the lowest load whose throughput is within `resolution` of the best is measured `confirmations` times more.
`latency`: `lowest` is measured 1 + `confirmations` times.

Pure functions, as `search.next_probe` is. An INVALID probe is measured again, at most twice; a load at which nothing
could be measured ("lost") ends the climb.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.analysis.search import STEP, Found, Probe, Probed, Purpose, SearchSettings, given_up, probe_requests, show


def next_throughput(history: Sequence[Probed], settings: SearchSettings) -> Probe | Found:
    """The next load to measure, or where throughput stopped growing."""
    ended = _ended(history, settings)
    if ended is not None:
        return ended
    values = _values(history)
    climbed = sorted(values)
    if not climbed or not _stopped_growing(history, values, settings):
        load = min(climbed[-1] * STEP, settings.highest) if climbed else settings.lowest
        return _probe(history, load, "bracket", settings)
    best = max(values.values())
    knee = min(load for load, value in values.items() if value * (1 + settings.resolution) >= best)
    if _times(history, knee) <= settings.confirmations:
        return _probe(history, knee, "confirm", settings)
    return Found(knee, knee, None, _words(values, knee, settings), len(history))


def next_latency(history: Sequence[Probed], settings: SearchSettings) -> Probe | Found:
    """`lowest` once more, or the end."""
    ended = _ended(history, settings)
    if ended is not None:
        return ended
    if _times(history, settings.lowest) <= settings.confirmations:
        return _probe(history, settings.lowest, "confirm" if history else "bracket", settings)
    times = _times(history, settings.lowest)
    words = f"measured {times} times at {show(settings.lowest)}; no objective is looked at"
    return Found(settings.lowest, settings.lowest, None, words, len(history))


def _ended(history: Sequence[Probed], settings: SearchSettings) -> Found | None:
    """The end of a search that cannot go on."""
    given = given_up(history)
    if given is not None:
        return given
    if history and history[-1].answer == "lost" and not _values(history):
        words = f"the lowest load, {show(settings.lowest)}, could not be measured: {history[-1].detail}"
        return Found(None, None, history[-1].probe.load, words, len(history), "none_holds")
    if len(history) >= settings.most_probes:
        words = f"after {len(history)} probes the search had not ended: raise size.most_probes"
        return Found(None, max(_values(history), default=None), None, words, len(history), "undecided")
    return None


def _values(history: Sequence[Probed]) -> dict[float, float]:
    """Load → median of what was measured there."""
    seen: dict[float, list[float]] = {}
    for one in history:
        if one.answer == "held" and one.value is not None:
            seen.setdefault(one.probe.load, []).append(one.value)
    return {load: statistics.median(values) for load, values in seen.items()}


def _times(history: Sequence[Probed], load: float) -> int:
    return sum(one.answer == "held" and one.value is not None and one.probe.load == load for one in history)


def _stopped_growing(history: Sequence[Probed], values: dict[float, float], settings: SearchSettings) -> bool:
    *before, last = sorted(values)
    if last >= settings.highest or any(one.answer == "lost" for one in history):
        return True
    return bool(before) and values[last] < values[before[-1]] * (1 + settings.resolution)


def _probe(history: Sequence[Probed], load: float, purpose: Purpose, settings: SearchSettings) -> Probe:
    requests = probe_requests(settings.share, settings.confidence)
    return Probe(len(history), load, purpose, settings.confidence, requests)


def _words(values: dict[float, float], knee: float, settings: SearchSettings) -> str:
    above = [load for load in sorted(values) if load > knee]
    if not above:
        return f"{show(knee)} gives most, and is the highest load asked for: raise size.highest to see whether it grows"
    more = values[above[-1]] / values[knee] - 1
    return f"throughput stops growing at {show(knee)}: {show(above[-1])} gives {more:+.1%}"
