"""Whether a configuration is beaten beyond doubt after its first repetitions, so that a sweep need not finish it.

Pure. Beaten means that it cannot be what the sweep is about: not on a Pareto front, because one other configuration
gives more at every load, and sooner; and not the recommendation, because that other one gives more inside the
objectives than this one gives anywhere. "Beyond doubt" is a quarter more than noise and drift explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FACTOR = 1.25  # ours
FEWEST = 2  # repetitions of the other one at each load: below, its noise is not known

Place = tuple[str, float]  # (workload, load level)


@dataclass(frozen=True)
class Seen:
    """What one configuration gave at one load, one value per repetition."""

    throughput: tuple[float, ...]  # output tokens/s
    first_token: tuple[float, ...]  # TTFT p50; infinite where it fell among failures
    maximised: float  # what the recommendation maximises
    admissible: bool  # whether it meets the objectives here, and can be believed


@dataclass(frozen=True)
class Beaten:
    """Who beats it, and by how much at least."""

    by: str
    more: float  # at least so many times its throughput
    sooner: float  # at least so many times its TTFT

    def in_words(self, name: str) -> str:
        """`name`: what the one that beats it is called."""
        return (
            f"beaten at every load by {name}: at least {self.more:.2f} times its output tokens/s, its first token at"
            f" least {self.sooner:.2f} times sooner"
        )


def beaten(own: Mapping[Place, Seen], others: Mapping[str, Mapping[Place, Seen]], drift: float = 0.0) -> Beaten | None:
    """The first of `others` that beats `own` beyond doubt. `drift`: of the reference so far, largest / smallest - 1."""
    for name, theirs in others.items():
        found = _beaten_by(name, own, theirs, 1 + drift)
        if found is not None:
            return found
    return None


def _beaten_by(name: str, own: Mapping[Place, Seen], theirs: Mapping[Place, Seen], drift: float) -> Beaten | None:
    if not own or own.keys() != theirs.keys() or any(len(seen.throughput) < FEWEST for seen in theirs.values()):
        return None
    noise, noise_of_first = (
        max(_spread(values) for values in each)
        for each in ([s.throughput for s in theirs.values()], [s.first_token for s in theirs.values()])
    )
    more = min(_ratio(min(theirs[at].throughput), max(own[at].throughput)) for at in own)
    sooner = min(_ratio(min(own[at].first_token), max(theirs[at].first_token)) for at in own)
    if more < FACTOR * noise * drift or sooner < FACTOR * noise_of_first * drift:
        return None
    return Beaten(name, more, sooner) if _wins(own, theirs, FACTOR * noise * drift) else None


def _wins(own: Mapping[Place, Seen], theirs: Mapping[Place, Seen], factor: float) -> bool:
    """Whether for every workload the other one's best admissible point is that much above all of these."""
    for workload in {workload for workload, _ in own}:
        most = max(seen.maximised for (name, _), seen in own.items() if name == workload)
        best = [seen.maximised for (name, _), seen in theirs.items() if name == workload and seen.admissible]
        if not best or max(best) <= 0 or max(best) < factor * most:
            return False
    return True


def _spread(values: Sequence[float]) -> float:
    return _ratio(max(values), min(values))


def _ratio(above: float, below: float) -> float:
    """above / below; 1 for two values that say the same, infinite over nothing."""
    if above == below:
        return 1.0
    return above / below if below > 0 else float("inf")
