"""The phases of a server's start, in seconds since its process was started: what a rollout or a cold start waits for.

    process       the process exists (0 by definition)
    live          it answers over HTTP at all
    ready         it says that it and its models are ready
    first_token   the first token of the first request has come
    warm          answers no longer get faster: a request's time to first token is within WARM_RATIO of the best before
    load:<model>  not an instant: how long that model took to load, by the server's own log

Seen from outside by polling (every 0.1 s), except `load:…`. These are phases of a start, not metrics of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

WARM_RATIO = 1.25
MOST_PROBES = 12

Seconds = Callable[[], float]


@dataclass
class StartPhases:
    """A stopwatch that is started with the process."""

    now: Seconds = time.monotonic
    began_s: float = 0.0
    reached_s: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """The process is being started now; forgets an earlier attempt."""
        self.began_s = self.now()
        self.reached_s = {"process": 0.0}

    def reached(self, phase: str) -> None:
        """The phase is reached now; the first time counts."""
        self.reached_s.setdefault(phase, round(self.now() - self.began_s, 4))

    def add_loads(self, durations_s: dict[str, float]) -> None:
        """How long each model took to load."""
        self.reached_s |= {f"load:{model}": round(span, 4) for model, span in sorted(durations_s.items())}


def is_warm(times_s: list[float]) -> bool:
    """Whether the latest time to first token is as good as the best before it; needs two."""
    return len(times_s) >= 2 and times_s[-1] <= WARM_RATIO * min(times_s[:-1]) and times_s[-1] > 0


def warm_up(probe: Callable[[], float], phases: StartPhases) -> list[float]:
    """Probe one by one until warm, at most MOST_PROBES times; the times to first token, in seconds.

    `probe` sends one request and returns its time to first token. Not warm after all of them: there is no `warm`.
    """
    times_s: list[float] = []
    for _ in range(MOST_PROBES):
        times_s.append(probe())
        phases.reached("first_token")
        if is_warm(times_s):
            phases.reached("warm")
            break
    return times_s
