"""Which configuration wins: the Pareto front, and the recommendation with its margin over the runner-up.

Pure. What is maximised is the caller's choice (output tokens/s or goodput, per GPU or per server), and so is who may
win: a candidate that misses an objective is shown, never recommended.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.analysis.distinguish import compare

TOO_WIDE = 5.0  # an upper end of a margin beyond which the interval says nothing


@dataclass(frozen=True)
class Candidate:
    """One point of one configuration. `values`: what is maximised, one per repetition."""

    configuration: str
    point_id: str
    values: tuple[float, ...]
    why_not: str | None = None  # why it may not be recommended, e.g. "misses time_to_first_token p95"

    @property
    def value(self) -> float:
        """The point's value: the median of its repetitions; 0 without any."""
        return statistics.median(self.values) if self.values else 0.0


@dataclass(frozen=True)
class Compared:
    """Another configuration at its own best point. Margins: how much more the recommended one gives (0.19: 19%)."""

    configuration: str
    point_id: str
    value: float
    margin: float
    low: float | None
    high: float | None
    real: bool


@dataclass(frozen=True)
class Recommendation:
    """The winner, and how sure that is. Without a winner, `reason` says why."""

    configuration: str | None
    point_id: str | None
    value: float | None
    others: list[Compared] = field(default_factory=list)  # the runner-up first
    confidence: float = 0.95
    reason: str = ""
    drift_is_known: bool = True  # otherwise no margin is called real

    @property
    def runner_up(self) -> Compared | None:
        """The next best configuration."""
        return self.others[0] if self.others else None

    @property
    def margin_is_real(self) -> bool:
        """Whether the winner is better than the runner-up beyond noise and drift."""
        return self.runner_up is not None and self.runner_up.real

    @property
    def not_distinguishable(self) -> list[Compared]:
        """Configurations that may be as good as the winner."""
        return [other for other in self.others if not other.real]


def recommend(points: Sequence[Candidate], *, confidence: float = 0.95, drift: float | None = 0.0) -> Recommendation:
    """The configuration with the best admissible point.

    Its margins over the other configurations hold together over all admissible points, because the best was chosen
    among them. `drift`: see `distinguish.compare`; None where it is not known, and then no margin is called real. Ties
    go to the one named first.
    """
    admissible = [point for point in points if point.why_not is None and point.value > 0]
    if not admissible:
        return Recommendation(
            None, None, None, confidence=confidence, reason=_why_none(points), drift_is_known=drift is not None
        )
    best = max(admissible, key=lambda point: point.value)
    others = sorted(_best_of_others(admissible, best.configuration), key=lambda point: -point.value)
    compared = [_compared(best, other, len(admissible), confidence, drift) for other in others]
    reason = _margin_in_words(best, compared, drift is not None)
    return Recommendation(
        best.configuration, best.point_id, best.value, compared, confidence, reason, drift_is_known=drift is not None
    )


def front(points: Sequence[tuple[float, float]], *, second: str = "higher") -> list[int]:
    """The positions of the points that no other beats: more of the first, and more ("higher") or less ("lower") of
    the second; by rising first coordinate. Of equal points all stay."""
    sign = 1.0 if second == "higher" else -1.0
    kept = [
        i
        for i, (x, y) in enumerate(points)
        if not any(
            (other_x >= x and sign * other_y >= sign * y) and (other_x > x or sign * other_y > sign * y)
            for other_x, other_y in points
        )
    ]
    return sorted(kept, key=lambda i: points[i])


def _best_of_others(points: Sequence[Candidate], winner: str) -> list[Candidate]:
    best: dict[str, Candidate] = {}
    for point in points:
        if point.configuration != winner and (
            point.configuration not in best or point.value > best[point.configuration].value
        ):
            best[point.configuration] = point
    return list(best.values())


def _compared(best: Candidate, other: Candidate, count: int, confidence: float, drift: float | None) -> Compared:
    interval = compare(best.values, other.values, count, confidence=confidence, drift=drift or 0.0)
    margin = best.value / other.value - 1
    return Compared(
        other.configuration,
        other.point_id,
        other.value,
        margin,
        interval.low,
        interval.high,
        interval.real and drift is not None,
    )


def _why_none(points: Sequence[Candidate]) -> str:
    if not points:
        return "nothing was measured"
    reasons = dict.fromkeys(point.why_not or "produced nothing" for point in points)
    return "no point may be recommended: " + "; ".join(reasons)


def _margin_in_words(best: Candidate, others: Sequence[Compared], drift_is_known: bool) -> str:
    if not others:
        return "there is no other configuration to compare with"
    first = others[0]
    ahead = f"{first.margin:.1%} ahead of the runner-up"
    if first.real:
        return f"{ahead}, at least {first.low:.1%}"
    if first.low is None:
        return f"{ahead}, but noise is not known from one repetition"
    if first.high is not None and first.high > TOO_WIDE:
        return f"{ahead}, but {len(best.values)} repetitions are too few, or too noisy, to tell"
    if first.low > 0 and not drift_is_known:
        return f"{ahead}, more than noise explains, but how far the machine drifted meanwhile is not known"
    return f"{ahead}, which noise and drift can explain ({first.low:+.1%} to {first.high:+.1%})"
