"""The sampler: one background thread that polls sources on the run's clock and hands their samples on in batches.

It is no store (the sink is) and computes no metric. It runs in the parent process, which uses no gevent. A failing
source leaves a gap and a reason, is tried again ever more rarely, and never stops the others. All instants are
nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from harness import clock
from harness.telemetry.sample import Sample
from harness.telemetry.source import ReadFailed, Source, Unavailable
from harness.units import from_seconds, to_seconds

FLUSH_EVERY_S = 5.0
LONGEST_BACK_OFF_S = 30.0
LONGEST_WAIT_S = 1.0
STOP_WITHIN_S = 10.0
# A source that takes d to read rests at least 4 d: it never gets more than a fifth of the thread the others share.
REST_PER_READ = 4
NAME = "sampler"


def next_due(start_ns: int, period_ns: int, earliest_ns: int) -> int:
    """The first instant of the grid `start + k * period` that lies after `earliest_ns`: no drift, no catching up."""
    return start_ns + ((earliest_ns - start_ns) // period_ns + 1) * period_ns


def back_off_ns(failures: int, period_ns: int) -> int:
    """How long beyond the period a source rests after so many failed reads in a row: doubling, bounded."""
    if failures == 0:
        return 0
    return max(0, min(period_ns << min(failures, 16), from_seconds(LONGEST_BACK_OFF_S)) - period_ns)


@dataclass
class _Turn:
    """When a source is due next, and how often in a row it failed."""

    source: Source
    period_ns: int
    due_ns: int
    failures: int = 0


class Sampler:
    """Polls `sources` from `with` to its end; `sink` gets the samples every few seconds and once more at the end.

    `sources` may contain `Unavailable`, so that what could not be opened is told in the same place. An error of the
    sink ends the sampling and is raised by `read_edge` and at the end of `with`. `now` and `wait` (seconds to wait ->
    true when it is time to stop) are there for tests.
    """

    def __init__(
        self,
        sources: Sequence[Source | Unavailable],
        sink: Callable[[list[Sample]], object],
        *,
        flush_every_s: float = FLUSH_EVERY_S,
        now: Callable[[], int] = clock.now,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._sink = sink
        self._now = now
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        start = now()
        self._flush_ns = from_seconds(flush_every_s)
        self._flush_due_ns = start + self._flush_ns
        self._turns = [
            _Turn(source, from_seconds(source.period_s), start)
            for source in sources
            if not isinstance(source, Unavailable)
        ]
        self._unavailable = {source.source: source for source in sources if isinstance(source, Unavailable)}
        self._interrupted: dict[str, Unavailable] = {}
        self._pending: list[Sample] = []
        self._pending_lock = threading.Lock()
        self._sink_lock = threading.Lock()
        self._sink_error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)
        if self._thread.is_alive():
            self._note(NAME, f"a source did not answer within {STOP_WITHIN_S:g} s of the end; its last read is lost")
        else:
            self._close_sources()
        self._flush()
        if error is None:
            self._raise_sink_error()

    @property
    def unavailable(self) -> tuple[Unavailable, ...]:
        """The sources that cannot be read now, with the reason of their first failure."""
        return tuple(self._unavailable.values())

    @property
    def interrupted(self) -> tuple[Unavailable, ...]:
        """The sources that failed at least once and came back (their first failure): their series have gaps."""
        return tuple(self._interrupted.values())

    def read_edge(self) -> list[Sample]:
        """Read the counters of all sources right now, in the caller's thread, for the edge of a window.

        The samples also go to the sink. A source that fails leaves a gap and a reason.
        """
        self._raise_sink_error()
        samples = [s for turn in self._turns for s in self._read(turn.source.name, turn.source.read_edge)[0]]
        self._keep(samples)
        return samples

    def step(self) -> float:
        """One round of the thread: read what is due, flush when it is time. Returns seconds until the next round."""
        began = self._now()
        due = [turn for turn in self._turns if turn.due_ns <= began]
        for turn in due:
            if not self._stop.is_set():
                self._take_turn(turn)
        if due:
            self._keep([Sample(self._now(), NAME, NAME, "round_duration", self._now() - began, "ns")])
        if self._now() >= self._flush_due_ns:
            self._flush()
            self._flush_due_ns = next_due(self._flush_due_ns, self._flush_ns, self._now())
        next_round = min([self._flush_due_ns, *(turn.due_ns for turn in self._turns)])
        return min(max(0.0, to_seconds(next_round - self._now())), LONGEST_WAIT_S)

    def _run(self) -> None:
        while not self._stop.is_set() and self._sink_error is None:
            if self._wait(self.step()):
                return

    def _take_turn(self, turn: _Turn) -> None:
        name, began = turn.source.name, self._now()
        samples, answered = self._read(name, turn.source.read)
        ended = self._now()
        self._keep([*samples, Sample(ended, NAME, name, "read_duration", ended - began, "ns")])
        turn.failures = 0 if answered else turn.failures + 1
        rest = max(back_off_ns(turn.failures, turn.period_ns), REST_PER_READ * (ended - began))
        turn.due_ns = next_due(turn.due_ns, turn.period_ns, ended + rest)

    def _read(self, name: str, read: Callable[[], list[Sample]]) -> tuple[list[Sample], bool]:
        """The samples, and whether the source answered at all."""
        try:
            samples = read()
        except ReadFailed as failed:
            self._note(name, failed.reason)
            return failed.samples, bool(failed.samples)
        except Exception as error:  # whatever a source's library throws must not end the telemetry of the others
            self._note(name, f"{type(error).__name__}: {error}")
            return [], False
        if samples and name in self._unavailable:  # an empty answer (no counters to read at an edge) proves nothing
            self._interrupted.setdefault(name, self._unavailable.pop(name))
        return samples, True

    def _close_sources(self) -> None:
        for turn in self._turns:
            try:
                turn.source.close()
            except Exception as error:  # what was measured is safe; a source that does not close is only worth a line
                self._note(turn.source.name, f"could not be closed: {error}")

    def _note(self, name: str, reason: str) -> None:
        self._unavailable.setdefault(name, Unavailable(name, reason, self._now()))

    def _keep(self, samples: list[Sample]) -> None:
        with self._pending_lock:
            self._pending.extend(samples)

    def _flush(self) -> None:
        """Hand on what has gathered. The pending lock is not held meanwhile: a slow disk must not delay an edge."""
        with self._sink_lock:
            with self._pending_lock:
                batch, self._pending = self._pending, []
            if batch and self._sink_error is None:
                try:
                    self._sink(batch)
                except Exception as error:  # raised in the caller's thread, by read_edge and at the end
                    self._sink_error = error

    def _raise_sink_error(self) -> None:
        if self._sink_error is not None:
            raise self._sink_error
