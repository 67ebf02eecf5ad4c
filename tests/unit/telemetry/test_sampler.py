from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from harness.telemetry.sample import Sample
from harness.telemetry.sampler import LONGEST_BACK_OFF_S, Sampler, back_off_ns, next_due
from harness.telemetry.source import ReadFailed, Unavailable
from harness.units import NS_PER_S


class FakeClock:
    """A clock that moves only when told: by waiting, or by a source that takes its time."""

    def __init__(self) -> None:
        self.time_ns = 1_000 * NS_PER_S

    def now(self) -> int:
        return self.time_ns

    def pass_s(self, seconds: float) -> None:
        self.time_ns += round(seconds * NS_PER_S)


@dataclass
class FakeSource:
    clock: FakeClock
    name: str = "fake"
    period_s: float = 1.0
    takes_s: float = 0.0
    error: Exception | None = None
    edge: bool = True
    read_at: list[int] = field(default_factory=list)
    closed: bool = False

    def read(self) -> list[Sample]:
        self.read_at.append(self.clock.time_ns)
        self.clock.pass_s(self.takes_s)
        if self.error:
            raise self.error
        return [Sample(self.clock.time_ns, self.name, "thing", "value", 1.0, "count")]

    def read_edge(self) -> list[Sample]:
        return self.read() if self.edge else []

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def drive(sampler: Sampler, clock: FakeClock, seconds: float) -> None:
    """What the thread does, without a thread: step, wait, step."""
    end = clock.time_ns + round(seconds * NS_PER_S)
    for _ in range(10_000):
        clock.pass_s(max(sampler.step(), 1e-6))
        if clock.time_ns >= end:
            return
    raise AssertionError("the sampler does not let time pass")


def seconds_since(instants: list[int], start_ns: int) -> list[float]:
    return [round((instant - start_ns) / NS_PER_S, 3) for instant in instants]


def test_the_next_instant_lies_on_the_grid_and_after_now():
    assert next_due(100, 10, 100) == 110
    assert next_due(100, 10, 109) == 110
    assert next_due(100, 10, 137) == 140


def test_reads_do_not_drift_though_each_takes_time(clock):
    source = FakeSource(clock, takes_s=0.03)
    start = clock.time_ns
    drive(Sampler([source], list, now=clock.now), clock, 20.5)
    assert seconds_since(source.read_at, start) == pytest.approx(list(range(21)), abs=1e-5)


def test_each_source_has_its_own_period(clock):
    slow, fast = FakeSource(clock, "slow", 2.0), FakeSource(clock, "fast", 0.5)
    drive(Sampler([slow, fast], list, now=clock.now), clock, 9.9)
    assert (len(slow.read_at), len(fast.read_at)) == (5, 20)


def test_missed_reads_are_skipped_and_not_made_up_for(clock):
    source = FakeSource(clock)
    sampler = Sampler([source], list, now=clock.now)
    start = clock.time_ns
    drive(sampler, clock, 1.5)
    clock.pass_s(5.2)  # the host was suspended, say
    drive(sampler, clock, 2.0)
    assert seconds_since(source.read_at, start) == pytest.approx([0, 1, 7.2, 8, 9], abs=1e-5)


def test_a_slow_source_gets_at_most_a_fifth_of_the_time(clock):
    slow, other = FakeSource(clock, "slow", takes_s=0.9), FakeSource(clock, "other")
    drive(Sampler([slow, other], list, now=clock.now), clock, 60)
    assert 10 <= len(slow.read_at) <= 60 / (5 * 0.9) + 1
    assert len(other.read_at) >= 55


def test_a_failing_source_leaves_a_gap_and_does_not_stop_the_others(clock):
    rows: list[Sample] = []
    bad, good = FakeSource(clock, "bad", error=OSError("gone")), FakeSource(clock, "good")
    sampler = Sampler([bad, good], rows.extend, now=clock.now)
    drive(sampler, clock, 10.5)
    assert {row.source for row in rows} == {"good", "sampler"}
    assert len(good.read_at) == 11
    assert sampler.unavailable == (Unavailable("bad", "OSError: gone", bad.read_at[0]),)


def test_a_failing_source_is_tried_ever_more_rarely_but_for_ever(clock):
    source = FakeSource(clock, error=ReadFailed("no"))
    drive(Sampler([source], list, now=clock.now), clock, 200)
    gaps = [b - a for a, b in zip(source.read_at, source.read_at[1:], strict=False)]
    assert gaps[0] == pytest.approx(2 * NS_PER_S, abs=NS_PER_S / 100)
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(LONGEST_BACK_OFF_S * NS_PER_S, abs=NS_PER_S / 100)


def test_back_off_is_bounded_and_never_shortens_a_long_period():
    assert back_off_ns(0, NS_PER_S) == 0
    assert back_off_ns(1000, NS_PER_S) == (LONGEST_BACK_OFF_S - 1) * NS_PER_S
    assert back_off_ns(3, 60 * NS_PER_S) == 0


def test_a_source_that_comes_back_is_interrupted_and_no_longer_unavailable(clock):
    source = FakeSource(clock, error=ReadFailed("not yet up"))
    sampler = Sampler([source], list, now=clock.now)
    drive(sampler, clock, 1.5)
    assert [gone.reason for gone in sampler.unavailable] == ["not yet up"]
    source.error = None
    drive(sampler, clock, 5)
    assert sampler.unavailable == ()
    assert [gone.reason for gone in sampler.interrupted] == ["not yet up"]


def test_a_source_that_tells_a_part_keeps_its_period_and_its_samples(clock):
    rows: list[Sample] = []
    part = Sample(1, "fake", "thing", "rest", 2.0, "count")
    source = FakeSource(clock, error=ReadFailed("power: Unknown Error", [part]))
    sampler = Sampler([source], rows.extend, now=clock.now)
    drive(sampler, clock, 10.5)
    assert rows.count(part) >= 9
    assert len(source.read_at) == 11
    assert [gone.reason for gone in sampler.unavailable] == ["power: Unknown Error"]


def test_what_could_not_be_opened_is_told_from_the_start(clock):
    missing = Unavailable("nvml", "no NVIDIA GPU on this host")
    sampler = Sampler([missing, FakeSource(clock)], list, now=clock.now)
    drive(sampler, clock, 3)
    assert sampler.unavailable == (missing,)


def test_samples_arrive_in_batches_every_few_seconds(clock):
    batches: list[list[Sample]] = []
    drive(Sampler([FakeSource(clock)], batches.append, now=clock.now, flush_every_s=5), clock, 10.5)
    assert [sum(row.source == "fake" for row in batch) for batch in batches] == [6, 5]


def test_the_sampler_tells_its_own_duration_and_that_of_each_source(clock):
    rows: list[Sample] = []
    drive(Sampler([FakeSource(clock, takes_s=0.02)], rows.extend, now=clock.now), clock, 6)
    own = {(row.entity, row.metric): row for row in rows if row.source == "sampler"}
    assert own["fake", "read_duration"].value == own["sampler", "round_duration"].value == 0.02 * NS_PER_S
    assert own["fake", "read_duration"].unit == "ns"


def test_an_edge_is_read_at_once_returned_and_kept(clock):
    rows: list[Sample] = []
    counters, gauges = FakeSource(clock, "counters"), FakeSource(clock, "gauges", edge=False)
    with Sampler([counters, gauges], rows.extend, now=clock.now, wait=lambda seconds: True) as sampler:
        edge = sampler.read_edge()
    assert [sample.source for sample in edge] == ["counters"]
    assert edge[0] in rows


def test_an_edge_without_counters_does_not_count_as_coming_back(clock):
    source = FakeSource(clock, error=ReadFailed("no"), edge=False)
    sampler = Sampler([source], list, now=clock.now)
    drive(sampler, clock, 1.5)
    sampler.read_edge()
    assert [gone.source for gone in sampler.unavailable] == ["fake"]


def test_a_failing_edge_is_a_gap_with_a_reason(clock):
    source = FakeSource(clock, error=ReadFailed("no"))
    sampler = Sampler([source], list, now=clock.now)
    assert sampler.read_edge() == []
    assert [gone.reason for gone in sampler.unavailable] == ["no"]


def test_at_the_end_the_rest_is_handed_on_and_sources_are_closed(clock):
    rows: list[Sample] = []
    source = FakeSource(clock)
    with Sampler([source], rows.extend, now=clock.now, wait=lambda seconds: True) as sampler:
        sampler.read_edge()
    assert sum(row.source == "fake" for row in rows) >= 1
    assert source.closed


def test_an_error_of_the_sink_is_not_lost(clock):
    def full(batch: list[Sample]) -> None:
        raise OSError("No space left on device")

    with (
        pytest.raises(OSError, match="No space left"),
        Sampler([FakeSource(clock)], full, now=clock.now, wait=lambda seconds: True) as sampler,
    ):
        sampler.read_edge()


def test_an_error_of_the_sink_does_not_hide_the_error_that_ended_the_run(clock):
    def full(batch: list[Sample]) -> None:
        raise OSError("No space left on device")

    with (
        pytest.raises(KeyboardInterrupt),
        Sampler([FakeSource(clock)], full, now=clock.now, wait=lambda seconds: True),
    ):
        raise KeyboardInterrupt
