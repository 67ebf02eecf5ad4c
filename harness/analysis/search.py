"""Where is the highest load that meets the objectives? Bracketing, bisection and confirmations, as a pure function.

`next_probe` looks at the probes so far and says which load to measure next, or what was found. Loads are requests per
second, or requests in flight. The search climbs from `lowest` by doubling until a load does not hold, halves the gap
between the highest load that held and the lowest that did not (geometrically) down to `resolution`, then confirms the
highest load that held, `confirmations` times at `confirm_confidence`. A confirmation that does not hold becomes the
upper edge, and the search goes on below it.

An undecided probe is asked again once, with as many requests as would decide if what was seen goes on, two to
`MOST_LONGER` times as many as it had; undecided again counts as "does not hold": the answer claims only what was shown.
An INVALID probe is measured again, at most twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.clustering import judge_clustered
from harness.analysis.early_stopping import HELD, LOST, UNDECIDED, requests_needed
from harness.analysis.early_stopping import judge as judge_one

INVALID: Literal["invalid"] = "invalid"
Answer = Literal["held", "lost", "undecided", "invalid"]
Purpose = Literal["bracket", "bisect", "confirm"]

STEP = 2.0  # how far a bracketing probe climbs
MOST_INVALID = 2  # times that an INVALID probe is measured again
MOST_LONGER = 6  # an undecided probe is repeated with at most so many times its requests
HOPELESS_WORTH = 10.0  # a test counts as lost beyond doubt when it is although only a tenth of the requests count
SPARE_SHARE = 0.5  # a probe is long enough to hold although half the allowed share lies over the limit


@dataclass(frozen=True)
class SearchSettings:
    """What is searched. `share`: the strictest percentile of the objectives, 0-1; it sets how long a probe is."""

    lowest: float
    highest: float
    share: float
    resolution: float = 0.05  # width of the final interval, relative to its lower edge
    confidence: float = 0.95
    confirm_confidence: float = 0.99
    confirmations: int = 2
    most_probes: int = 40
    integer: bool = False  # loads are whole numbers: requests in flight


@dataclass(frozen=True)
class Probe:
    """One measurement to make: at this load, with so many requests in its cohort."""

    number: int
    load: float
    purpose: Purpose
    confidence: float
    requests: int


@dataclass(frozen=True)
class Probed:
    """A probe with its answer. `requests`: its cohort; `enough`: so many would have decided, where that is known.

    `value`: what is maximised, for searches that look at it (`growth`).
    """

    probe: Probe
    answer: Answer
    detail: str = ""
    requests: int = 0
    enough: int | None = None
    value: float | None = None


@dataclass(frozen=True)
class Found:
    """The end of a search. The highest load that holds lies in [low, high) with the confidence of the confirmations."""

    load: float | None  # highest load that held and was confirmed
    low: float | None  # highest load that held; equal to `load` where there is one
    high: float | None  # lowest load that was lost, not merely undecided; None: none was met
    why: str
    probes: int
    status: Literal["found", "none_holds", "invalid", "undecided"] = "found"


def judge(counts: Mapping[str, tuple[int, int]], shares: Mapping[str, float], confidence: float) -> Answer:
    """The answer of one probe from (over the limit, n) per objective: held if all hold, lost if any is lost."""
    answers = [judge_one(over, n, shares[name], confidence) for name, (over, n) in counts.items()]
    if LOST in answers:
        return LOST
    return HELD if answers and all(answer == HELD for answer in answers) else UNDECIDED


def probe_requests(share: float, confidence: float) -> int:
    """So many requests that the objective is seen to hold although half the allowed share lies over the limit."""
    over = 0
    while over < SPARE_SHARE * (1 - share) * requests_needed(over, share, confidence):
        over += 1
    return requests_needed(over, share, confidence)


def hopeless(planned: int, share: float, confidence: float) -> int:
    """So many of `planned` requests beyond the limit that the test is lost whatever the others say, in clusters too."""
    low, high = 0, planned
    while high - low > 1:
        middle = (low + high) // 2
        lost = judge_clustered(middle, planned, share, confidence, HOPELESS_WORTH) == LOST
        low, high = (low, middle) if lost else (middle, high)
    return high


def next_probe(history: Sequence[Probed], settings: SearchSettings) -> Probe | Found:
    """The next load to measure, or what was found. A function of its arguments alone."""
    ended = given_up(history) or (_out_of_probes(history) if len(history) >= settings.most_probes else None)
    again = _again(history)
    if ended is not None:
        return ended
    if again is not None:
        return again
    holds, fails = edges(history)
    if holds is None and fails is not None and fails <= settings.lowest:
        return _none_holds(history, settings)
    load, purpose = _bracket_or_bisect(holds, fails, settings)
    if load is not None:
        return _probe(history, load, purpose, settings)
    assert holds is not None  # nothing left to bisect: there is a load that held
    if confirmed(history, holds) < settings.confirmations:
        return _probe(history, holds, "confirm", settings)
    return Found(holds, holds, _lowest_lost(history, holds), _words(history, holds, fails, settings), len(history))


def show(load: float) -> str:
    """A load for people: four digits are more than any search resolves."""
    return f"{load:.4g}"


def _probe(history: Sequence[Probed], load: float, purpose: Purpose, settings: SearchSettings) -> Probe:
    confidence = settings.confirm_confidence if purpose == "confirm" else settings.confidence
    return Probe(len(history), load, purpose, confidence, probe_requests(settings.share, confidence))


def given_up(history: Sequence[Probed]) -> Found | None:
    """The end of a search whose last probe was INVALID too often."""
    times = 0
    for one in reversed(history):
        if one.answer != INVALID:
            break
        times += 1
    if times <= MOST_INVALID:
        return None
    last = history[-1]
    words = f"load {show(last.probe.load)} was INVALID {times} times: {last.detail or 'see its reasons in the report'}"
    return Found(None, None, None, words, len(history), "invalid")


def _again(history: Sequence[Probed]) -> Probe | None:
    """The last probe once more, where its answer says nothing yet."""
    if not history:
        return None
    last, probe = history[-1], history[-1].probe
    if last.answer == INVALID:
        return Probe(len(history), probe.load, probe.purpose, probe.confidence, probe.requests)
    if last.answer == UNDECIDED and _undecided_in_a_row(history) == 1:
        return Probe(len(history), probe.load, probe.purpose, probe.confidence, _longer(last))
    return None


def _longer(undecided: Probed) -> int:
    """How many requests the repetition of an undecided probe asks for."""
    had = max(undecided.requests, undecided.probe.requests)
    return min(max(undecided.enough or 0, 2 * had), MOST_LONGER * had)


def _undecided_in_a_row(history: Sequence[Probed]) -> int:
    """How often the last probe was undecided without a pause; INVALID ones in between say nothing."""
    last, count = history[-1].probe, 0
    for one in reversed([each for each in history if each.answer != INVALID]):
        if (one.probe.load, one.probe.purpose, one.answer) != (last.load, last.purpose, UNDECIDED):
            break
        count += 1
    return count


def edges(history: Sequence[Probed]) -> tuple[float | None, float | None]:
    """The highest load that held below every load that did not, and the lowest that did not.

    A load that held and whose confirmation did not is one that did not.
    """
    failed = [one.probe.load for one in history if one.answer in (LOST, UNDECIDED) and not _held_after(history, one)]
    fails = min(failed, default=None)
    held = [one.probe.load for one in history if one.answer == HELD and (fails is None or one.probe.load < fails)]
    return max(held, default=None), fails


def _held_after(history: Sequence[Probed], undecided: Probed) -> bool:
    """Whether an undecided probe was asked again with more requests, and held."""
    later = [one for one in history if one.probe.number > undecided.probe.number and one.answer != INVALID]
    place = (undecided.probe.load, undecided.probe.purpose)
    same = [one for one in later if (one.probe.load, one.probe.purpose) == place]
    return undecided.answer == UNDECIDED and bool(same) and same[0].answer == HELD


def _bracket_or_bisect(
    holds: float | None, fails: float | None, settings: SearchSettings
) -> tuple[float | None, Purpose]:
    """The next load of the search, or None when the edge is known as well as was asked."""
    if fails is None:
        wanted = settings.lowest if holds is None else min(_rounded(holds * STEP, settings), settings.highest)
        return (None if holds is not None and holds >= settings.highest else wanted), "bracket"
    low = settings.lowest if holds is None else holds
    if holds is None:  # the bracket's first load failed, or a confirmation emptied everything below it
        return settings.lowest, "bracket"
    middle = _rounded(math.sqrt(low * fails), settings)
    close = fails <= low * (1 + settings.resolution) or not low < middle < fails
    return (None if close else middle), "bisect"


def _rounded(load: float, settings: SearchSettings) -> float:
    return float(round(load)) if settings.integer else float(f"{load:.4g}")


def confirmed(history: Sequence[Probed], load: float) -> int:
    return sum(one.answer == HELD and one.probe.purpose == "confirm" and one.probe.load == load for one in history)


def _lowest_lost(history: Sequence[Probed], above: float) -> float | None:
    return min((one.probe.load for one in history if one.answer == LOST and one.probe.load > above), default=None)


def _words(history: Sequence[Probed], holds: float, fails: float | None, settings: SearchSettings) -> str:
    times = f"{settings.confirmations} time{'s' * (settings.confirmations > 1)}"
    held = f"{show(holds)} held and was confirmed {times}"
    if fails is None:
        return f"{held}; it is the highest load asked for: raise size.highest to find the edge"
    lost = any(one.answer == LOST and one.probe.load == fails for one in history)
    above = [one.probe.load for one in history if one.answer == HELD and one.probe.load > fails]
    odd = f", and {show(max(above))} held once: noise, or no single edge" if above else ""
    return f"{held}; {show(fails)} {'was lost' if lost else 'stayed undecided'}{odd}"


def _none_holds(history: Sequence[Probed], settings: SearchSettings) -> Found:
    lost, lowest = _lowest_lost(history, 0.0), show(settings.lowest)
    if lost == settings.lowest:
        words = f"the lowest load, {lowest}, does not meet the objectives"
        return Found(None, None, lost, words, len(history), "none_holds")
    words = f"the lowest load, {lowest}, could not be decided: raise size.shortest_window_s, or lower size.lowest"
    return Found(None, None, lost, words, len(history), "undecided")


def _out_of_probes(history: Sequence[Probed]) -> Found:
    holds, _ = edges(history)
    words = f"after {len(history)} probes the edge was not confirmed: raise size.most_probes, or widen size.resolution"
    return Found(None, holds, _lowest_lost(history, holds or 0.0), words, len(history), "undecided")
