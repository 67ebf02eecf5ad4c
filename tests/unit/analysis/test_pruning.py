"""When a configuration is beaten beyond doubt: against truths that are known, with noise and with drift."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from statistics import median

import pytest

from harness.analysis.pruning import FACTOR, Beaten, Place, Seen, beaten

LOADS = (4.0, 16.0)
GOOD = {("all", 4.0): Seen((100.0, 100.0), (10.0, 10.0), 100.0, True)}
GOOD[("all", 16.0)] = Seen((200.0, 200.0), (20.0, 20.0), 200.0, True)


def _times(factor: float, seen: dict[Place, Seen] = GOOD, *, first: float | None = None) -> dict[Place, Seen]:
    """One repetition, with so many times the throughput and the TTFT divided by `first` (default: the same)."""
    sooner = factor if first is None else first
    return {
        at: Seen((one.throughput[0] * factor,), (one.first_token[0] / sooner,), one.maximised * factor, one.admissible)
        for at, one in seen.items()
    }


def test_half_the_throughput_and_twice_the_wait_at_every_load_is_beaten() -> None:
    found = beaten(_times(0.5), {"good": GOOD})
    assert found == Beaten("good", 2.0, 2.0)
    assert found.in_words("max_batch_size 8") == (
        "beaten at every load by max_batch_size 8: at least 2.00 times its output tokens/s, its first token at least"
        " 2.00 times sooner"
    )


@pytest.mark.parametrize(
    ("why", "own", "theirs"),
    [
        ("less than a quarter behind", _times(1 / 1.2), GOOD),
        ("only throughput is behind", _times(0.5, first=1.0), GOOD),
        ("only the first token is behind", _times(1.0, first=0.5), GOOD),
        ("nothing was measured", {}, GOOD),
        ("one load is not measured yet", {("all", 4.0): _times(0.5)[("all", 4.0)]}, GOOD),
        ("the noise of the other is not known", _times(0.5), _times(1.0)),
        ("ahead at one load", {**_times(0.5), ("all", 16.0): _times(1.0)[("all", 16.0)]}, GOOD),
        ("the other misses an objective", _times(0.5), {at: replace(s, admissible=False) for at, s in GOOD.items()}),
        (
            "the other wins inside the objectives only at a low load, where it gives less",
            _times(0.7),
            {**GOOD, ("all", 16.0): replace(GOOD[("all", 16.0)], admissible=False)},
        ),
        (
            "the other is noisier than its lead",
            _times(0.7),
            {at: replace(s, throughput=(s.throughput[0], s.throughput[0] * 1.5)) for at, s in GOOD.items()},
        ),
        (
            "a first token of the other fell among failures",
            _times(0.5),
            {at: replace(s, first_token=(s.first_token[0], math.inf)) for at, s in GOOD.items()},
        ),
    ],
)
def test_it_is_finished_where_there_is_doubt(why: str, own: dict[Place, Seen], theirs: dict[Place, Seen]) -> None:
    assert beaten(own, {"other": theirs}) is None, why


def test_drift_of_the_machine_must_be_exceeded_too() -> None:
    assert beaten(_times(0.7), {"good": GOOD}) is not None
    assert beaten(_times(0.7), {"good": GOOD}, drift=0.2) is None


def _hopeless_goodput(seen: dict[Place, Seen]) -> dict[Place, Seen]:
    """As measured, but next to nothing of what is maximised: goodput."""
    return {at: replace(one, maximised=0.01) for at, one in seen.items()}


@pytest.mark.parametrize(("rate", "first"), [(0.7, 0.3), (0.3, 0.7)], ids=["throughput", "first token"])
def test_noise_and_drift_count_for_throughput_and_first_token_alike(rate: float, first: float) -> None:
    """One of them is 1.43 times worse, the other and what is maximised are far off."""
    own = _hopeless_goodput(_times(rate, first=first))
    noisy = {
        at: replace(
            s,
            throughput=(s.throughput[0], s.throughput[0] * 1.2),
            first_token=(s.first_token[0] / 1.2, s.first_token[0]),
        )
        for at, s in GOOD.items()
    }
    assert beaten(own, {"good": GOOD}) is not None
    assert beaten(own, {"good": GOOD}, drift=0.2) is None
    assert beaten(own, {"good": noisy}) is None


def test_it_is_beaten_only_if_it_is_in_every_workload() -> None:
    both = {**GOOD, **{("long", load): GOOD[("all", load)] for load in LOADS}}
    behind_in_one = {**_times(1.0, both), **_times(0.5)}
    assert beaten(behind_in_one, {"good": both}) is None
    assert beaten(_times(0.5, both), {"good": both}) is not None


@dataclass(frozen=True)
class Truth:
    """What a configuration would give without noise, by load."""

    throughput: tuple[float, ...]
    first_token: tuple[float, ...]


def _measured(truth: Truth, repetitions: int, spread: float, slower: float, draw: random.Random) -> dict[Place, Seen]:
    found = {}
    for load, rate, first in zip(LOADS, truth.throughput, truth.first_token, strict=True):
        noise = [draw.gauss(0, spread) for _ in range(repetitions)]  # a slow moment costs both
        rates = tuple(rate * math.exp(each) / slower for each in noise)
        firsts = tuple(first * math.exp(draw.gauss(0, spread) - each) * slower for each in noise)
        found["all", load] = Seen(rates, firsts, median(rates), True)
    return found


def _wrong(spread: float, drift: float, sweeps: int, seed: int) -> int:
    """In how many sweeps of six equal configurations is one called beaten, the machine slowing down meanwhile."""
    draw, same, wrong = random.Random(seed), Truth((100.0, 200.0), (10.0, 20.0)), 0
    for _ in range(sweeps):
        others: dict[str, dict[Place, Seen]] = {}
        for number in range(6):
            slower = 1 + drift * number / 5
            found = beaten(_measured(same, 1, spread, slower, draw), others, drift=slower - 1)
            wrong += found is not None
            others[str(number)] = _measured(same, 3, spread, slower, draw)
    return wrong


@pytest.mark.parametrize(("spread", "drift"), [(0.02, 0.0), (0.05, 0.0), (0.10, 0.0), (0.05, 0.3)])
def test_of_equal_configurations_none_is_called_beaten(spread: float, drift: float) -> None:
    """At most 1 in 1,000 decisions (300 sweeps of 6), although five others are tried each time."""
    assert _wrong(spread, drift, sweeps=300, seed=11) <= 1


def test_whoever_is_in_truth_the_best_is_never_dropped_and_the_hopeless_are() -> None:
    """Against an oracle that knows the truth: random truths, five percent of noise."""
    draw, dropped, hopeless = random.Random(5), 0, 0
    for _ in range(300):
        truths = [
            Truth((100 * speed, 200 * speed), (10 / speed, 20 / speed))
            for speed in (draw.uniform(0.4, 1.0) for _ in range(4))
        ]
        best = max(truth.throughput[-1] for truth in truths)
        others: dict[str, dict[Place, Seen]] = {}
        for number, truth in enumerate(truths):
            found = beaten(_measured(truth, 1, 0.05, 1.0, draw), others)
            behind = max((t.throughput[-1] for t in truths[:number]), default=0.0) / truth.throughput[-1]
            if found is not None:
                assert truth.throughput[-1] < best
                assert behind > FACTOR * 0.9, "dropped although it is hardly behind"
                dropped += behind > 1.6
            hopeless += behind > 1.6
            if found is None:
                others[str(number)] = _measured(truth, 3, 0.05, 1.0, draw)
    assert hopeless > 100, "an empty test tells nothing"
    assert dropped > 0.7 * hopeless, "the rule must save something"
