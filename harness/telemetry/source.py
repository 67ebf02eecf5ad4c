"""What the sampler asks of a source, and how a source says that it has nothing to tell.

Each module here that knows a source has `open_source(...)` (NVML: `open_sources`), which returns the source, or
`Unavailable` with a reason for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.telemetry.sample import Sample


@dataclass(frozen=True)
class Unavailable:
    """A source that cannot be read, and why, in words for people. `since_ns`: the first failed read, if it was open."""

    source: str
    reason: str
    since_ns: int | None = None


class ReadFailed(Exception):
    """A read that failed for a reason worth telling. `samples` holds what could be read all the same."""

    def __init__(self, reason: str, samples: Sequence[Sample] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.samples = list(samples)


class Source(Protocol):
    """Something to poll. `read` is called by the sampler's thread only; `read_edge` by any thread, also meanwhile.

    Both return within a bounded time, both may raise (`ReadFailed` or any error of the library underneath).
    """

    @property
    def name(self) -> str:
        """Unique among the sources of a run; `Unavailable.source` repeats it."""

    @property
    def period_s(self) -> float:
        """Seconds between two reads."""

    def read(self) -> list[Sample]:
        """All values, now."""

    def read_edge(self) -> list[Sample]:
        """The cumulative counters, now, for a difference over a window; empty where there are none."""

    def close(self) -> None:
        """Give back what `open_source` took."""
