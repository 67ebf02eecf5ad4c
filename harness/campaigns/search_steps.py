"""What a search measures next, and how long it will take: the scenario's `size` block in front of the pure searches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.analysis.growth import next_latency, next_throughput
from harness.analysis.objective_counts import SHARES
from harness.analysis.search import Found, Probe, Probed, SearchSettings, next_probe, probe_requests
from harness.analysis.search_length import climb, estimated_probes, probes_left
from harness.assess.sized import MAXIMISED
from harness.plan import deployments as deploying
from harness.plan.probing import window_s
from harness.records.search_file import JudgedProbe, SearchState
from harness.scenario.load import ClosedLoop
from harness.scenario.schema import Scenario
from harness.scenario.size import Size
from harness.units import show_duration

ONLY = "only"  # key of the one configuration of a scenario that varies nothing
CLOSED_LOOP_PROBE_S = 10.0  # guess: how long so few requests take in a closed loop is the server's business
DRAIN_S = 2.0
START_S = 8.0  # guess, of a small engine that was built before
LONGER = 3.0
NEXT: Mapping[str, Callable[[Sequence[Probed], SearchSettings], Probe | Found]] = {
    "objectives": next_probe,
    "throughput": next_throughput,
    "latency": next_latency,
}


@dataclass(frozen=True)
class Wanted:
    """One configuration to search. Without `vary` there is one, with no name and nothing varied."""

    key: str
    label: str = ""  # settings in words
    engine_name: str | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)


def configurations(scenario: Scenario) -> list[Wanted]:
    """Every configuration of the scenario."""
    if scenario.vary is None:
        return [Wanted(ONLY)]
    return [Wanted(one.deployment_id, one.label, one.name, one.varied) for one in deploying.combinations(scenario)]


def search_settings(scenario: Scenario, size: Size) -> SearchSettings:
    """The settings of the pure searches."""
    shares = [SHARES[o.statistic] for o in scenario.objectives if o.statistic in SHARES]
    return SearchSettings(
        lowest=size.lowest,
        highest=size.highest,
        share=max(shares, default=0.9),
        resolution=size.resolution,
        confidence=size.confidence,
        confirm_confidence=size.confirm_confidence,
        confirmations=size.confirmations,
        most_probes=size.most_probes,
        integer=isinstance(scenario.load, ClosedLoop),
    )


def next_step(size: Size, state: SearchState, settings: SearchSettings) -> Probe | Found:
    """The next probe of a configuration, or what was found."""
    return NEXT[size.mode]([probed_of(size, each) for each in state.history], settings)


def probed_of(size: Size, kept: JudgedProbe) -> Probed:
    """A probe with its answer, as the pure searches take it."""
    result = kept.result
    return Probed(
        Probe(**kept.probe),
        result["answer"],
        result["detail"],
        requests=result.get("requests", 0),
        enough=result.get("enough"),
        value=result[MAXIMISED[size.mode]],
    )


def probes_beforehand(size: Size, settings: SearchSettings) -> int:
    """About how many probes one configuration takes."""
    return 1 + settings.confirmations if size.mode == "latency" else estimated_probes(settings)


def estimate(size: Size, warm_up_s: float, settings: SearchSettings, count: int) -> str:
    """How long `count` configurations will take, before anything is started.

    From: every probe decides. To: each one near the edge has to be repeated with `LONGER` times its requests. The edge
    is assumed in the middle of the range.
    """
    probes, requests = probes_beforehand(size, settings), probe_requests(settings.share, settings.confidence)
    climbing = climb(settings) if size.mode != "latency" else [settings.lowest]
    windows = [CLOSED_LOOP_PROBE_S if settings.integer else window_s(size, load, requests) for load in climbing]
    near = windows[-1] * (probes - len(climbing))
    rest = START_S + probes * (warm_up_s + DRAIN_S)
    least, most = (count * (rest + sum(windows) + times * near) for times in (1, 1 + LONGER))
    return (
        f"{count} configuration{'s' * (count > 1)}, about {probes} probes each of at least {requests} requests:"
        f" {show_duration(least)}, and up to {show_duration(most)} where many are undecided"
    )


class SearchPace:
    """How long probes took so far, and so how long the rest will take."""

    def __init__(self, size: Size, settings: SearchSettings) -> None:
        self._size, self._settings = size, settings
        self._began, self._probes = time.monotonic(), 0

    def describe(self, history: Sequence[JudgedProbe], waiting: int) -> str:
        """After one more probe: "about 7 more probes, 1 min 30 s". `waiting`: configurations not begun."""
        self._probes += 1
        settings, probed = self._settings, [probed_of(self._size, each) for each in history]
        beforehand = probes_beforehand(self._size, settings)
        here = probes_left(probed, settings) if self._size.mode == "objectives" else beforehand - len(history)
        left = max(here, 1) + waiting * beforehand
        each_s = (time.monotonic() - self._began) / self._probes  # with what starts and repetitions cost
        return f"about {left} more, {show_duration(left * each_s)}"
