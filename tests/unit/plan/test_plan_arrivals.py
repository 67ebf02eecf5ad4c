"""Every arrival process is the one that its name promises: rate, dispersion, goodness of fit; nothing is rescaled."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goodness import dispersion, exponential, gamma, kolmogorov_p, uniform
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

from harness.errors import UsageError
from harness.plan.arrivals import Spans, arrival_offsets, mean_rate
from harness.plan.gamma import unit_gammas
from harness.scenario.arrivals import Arrivals, TraceArrivals
from harness.scenario.trace_file import Trace, TraceRow
from harness.units import NS_PER_S, from_seconds

SEEDS = range(40)


def process(**fields: Any) -> Any:
    """An arrival process; the rate of one with levels is given when it is drawn."""
    rate = {} if fields["process"] in ("ramp", "steps") else {"request_rate_per_s": 1.0}
    return TypeAdapter(Arrivals).validate_python(rate | fields)


def spans(warm_up_s: float, window_s: float, drain_s: float) -> Spans:
    start = from_seconds(warm_up_s)
    end = start + from_seconds(window_s)
    return Spans(start, end, end + from_seconds(drain_s))


LONG = spans(0, 2000, 0)


def instants(arrivals: Any, rate: float, seed: int, within: Spans = LONG) -> NDArray[np.float64]:
    """Offsets in seconds."""
    return arrival_offsets(arrivals, rate, within, seed, ("all",)) / NS_PER_S


def gaps(arrivals: Any, rate: float, seed: int, within: Spans = LONG) -> NDArray[np.float64]:
    """Gaps in units of the mean gap, the first counted from the start."""
    return np.diff(instants(arrivals, rate, seed, within), prepend=0.0) * rate


POISSON = process(process="poisson")
CONSTANT = process(process="constant")


@pytest.mark.parametrize("rate", [0.1, 3.0, 7.3, 1000 / 3])
def test_constant_arrivals_lie_on_their_grid_without_drift(rate: float) -> None:
    offsets = arrival_offsets(CONSTANT, rate, LONG, 1, ("all",))
    assert offsets.tolist() == [round(number * NS_PER_S / rate) for number in range(len(offsets))]
    assert len(offsets) == np.ceil(2000 * rate)


@pytest.mark.parametrize("rate", [0.5, 20.0])
def test_the_gaps_of_poisson_arrivals_are_exponential(rate: float) -> None:
    values = [kolmogorov_p(gaps(POISSON, rate, seed), exponential) for seed in SEEDS]
    assert min(values) > 1e-4
    assert kolmogorov_p(np.asarray(values), uniform) > 1e-3  # not too good either


@pytest.mark.parametrize("shape", [0.25, 0.5, 1.0, 2.5, 9.0])
def test_the_gaps_of_gamma_arrivals_are_gamma_distributed(shape: float) -> None:
    arrivals = process(process="gamma", burstiness=shape)
    values = [kolmogorov_p(gaps(arrivals, 2.0, seed, spans(0, 400, 0)), gamma(shape)) for seed in SEEDS]
    assert min(values) > 1e-4
    assert kolmogorov_p(np.asarray(values), uniform) > 1e-3


@pytest.mark.parametrize("shape", [0.25, 1.0, 2.5, 30.0])
def test_a_million_gamma_numbers_show_no_trace_of_the_method(shape: float) -> None:
    drawn = np.sort(unit_gammas(1, ("all",), shape, 1_000_000))
    grid = np.quantile(drawn, np.linspace(0.005, 0.995, 199))
    distance = np.abs(np.searchsorted(drawn, grid, side="right") / len(drawn) - gamma(shape)(grid)).max()
    assert distance * np.sqrt(len(drawn)) < 1.95  # p = 0.001


def test_gamma_arrivals_of_another_shape_would_be_noticed() -> None:
    drawn = gaps(process(process="gamma", burstiness=0.5), 2.0, 1)
    assert kolmogorov_p(drawn, gamma(0.6)) < 1e-4
    assert kolmogorov_p(drawn, exponential) < 1e-9


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        (POISSON, 1.0),
        (process(process="gamma", burstiness=0.25), 4.0),  # of a renewal process, over long bins: 1 / shape
        (process(process="gamma", burstiness=4.0), 0.25),
    ],
)
def test_counts_are_as_dispersed_as_the_process_says(arrivals: Any, expected: float) -> None:
    bins = 20_000 / 10
    found = dispersion(instants(arrivals, 5.0, 3, spans(0, 20_000, 0)), 10.0, 20_000)
    assert found == pytest.approx(expected, rel=5 * np.sqrt(2 / bins))


@pytest.mark.parametrize(
    ("arrivals", "expected"), [(POISSON, 1.0), (process(process="gamma", burstiness=0.5), 2.0), (CONSTANT, 0.0)]
)
def test_the_number_of_arrivals_in_a_window_varies_as_the_process_says_and_is_not_rescaled(
    arrivals: Any, expected: float
) -> None:
    within, seeds = spans(5, 100, 10), range(300)
    counts = [within.in_window(arrival_offsets(arrivals, 4.0, within, seed, ("all",))) for seed in seeds]
    assert np.mean(counts) == pytest.approx(400, abs=4 * np.sqrt(max(expected, 0.01) * 400 / len(seeds)))
    assert np.var(counts) / 400 == pytest.approx(expected, abs=0.01 + 5 * expected * np.sqrt(2 / len(seeds)))


@pytest.mark.parametrize("arrivals", [POISSON, process(process="gamma", burstiness=0.5), CONSTANT])
@pytest.mark.parametrize("rate", [2.0, 64.0])
def test_the_rate_is_the_one_asked(arrivals: Any, rate: float) -> None:
    count = len(instants(arrivals, rate, 9))
    assert count == pytest.approx(2000 * rate, abs=1 + 5 * np.sqrt(2 * 2000 * rate))


BURSTS = process(process="on_off", on_s=2.0, off_s=8.0)


def test_bursts_hold_all_arrivals_and_one_begins_with_the_window() -> None:
    within = spans(13, 500, 50)
    cycle = (instants(BURSTS, 3.0, 1, within) - 13) % 10
    assert cycle.max() < 2
    assert len(cycle) == pytest.approx(563 * 3, abs=5 * np.sqrt(563 * 3))
    assert dispersion(instants(BURSTS, 3.0, 1, within), 1.0, 560) > 5


def test_arrivals_within_bursts_are_poisson() -> None:
    def compressed(seed: int) -> NDArray[np.float64]:
        offsets = instants(BURSTS, 3.0, seed)
        return np.diff(offsets // 10 * 2 + offsets % 10, prepend=0.0) * 15  # the clock stands still in silences

    values = [kolmogorov_p(compressed(seed), exponential) for seed in SEEDS]
    assert min(values) > 1e-4
    assert kolmogorov_p(np.asarray(values), uniform) > 1e-3


RAMP = process(process="ramp", from_request_rate_per_s=1, to_request_rate_per_s=9)
FALL = process(process="ramp", from_request_rate_per_s=9, to_request_rate_per_s=1)
STEPS = process(process="steps", request_rate_per_s=[2, 10, 4], step_s=100)
CHANGING = spans(50, 400, 60)


def rate_at(arrivals: Any, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the rate should be, read from the scenario by hand."""
    if arrivals is STEPS:
        return np.select([time_s < 150, time_s < 250], [2.0, 10.0], 4.0)
    low, high = arrivals.from_request_rate_per_s, arrivals.to_request_rate_per_s
    return low + (high - low) * np.clip((time_s - 50) / 400, 0, 1)


@pytest.mark.parametrize("arrivals", [RAMP, FALL, STEPS])
def test_a_changing_rate_is_followed(arrivals: Any) -> None:
    """Gaps are exponential of mean 1 on a clock that runs with the rate (its integral, here summed in small steps)."""
    clock = np.linspace(0, 510, 510_001)
    middle = rate_at(arrivals, clock[:-1] + 0.0005)
    elapsed = np.concatenate([[0], np.cumsum(middle * 0.001)])

    def changed(seed: int) -> NDArray[np.float64]:
        return np.diff(np.interp(instants(arrivals, 0.0, seed, CHANGING), clock, elapsed), prepend=0.0)

    values = [kolmogorov_p(changed(seed), exponential) for seed in SEEDS]
    assert min(values) > 1e-4
    assert kolmogorov_p(np.asarray(values), uniform) > 1e-3
    total = np.mean([len(instants(arrivals, 0.0, seed, CHANGING)) for seed in SEEDS])
    assert total == pytest.approx(elapsed[-1], abs=4 * np.sqrt(elapsed[-1] / len(SEEDS)))


def test_a_ramp_taken_for_constant_would_be_noticed() -> None:
    assert kolmogorov_p(gaps(RAMP, 5.0, 1, CHANGING), exponential) < 1e-9


@pytest.mark.parametrize(("arrivals", "expected"), [(RAMP, 5.0), (STEPS, (200 + 1000 + 800) / 400), (BURSTS, 1.0)])
def test_the_mean_rate_of_the_window_is_known(arrivals: Any, expected: float) -> None:
    assert mean_rate(arrivals, 1.0, CHANGING) == pytest.approx(expected)


ALL = [
    POISSON,
    CONSTANT,
    BURSTS,
    RAMP,
    FALL,
    STEPS,
    process(process="gamma", burstiness=0.3),
    process(process="gamma", burstiness=3.0),
]


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.sampled_from(ALL),
    rate=st.floats(0.05, 50),
    seed=st.integers(0, 2**63 - 1),
    warm_up_s=st.floats(0, 20),
    drain_s=st.floats(0.1, 30),
)
def test_arrivals_are_sorted_inside_the_repetition_and_follow_from_the_seed(
    arrivals: Any, rate: float, seed: int, warm_up_s: float, drain_s: float
) -> None:
    within = spans(warm_up_s, 300, drain_s)
    offsets = arrival_offsets(arrivals, rate, within, seed, ("all",))
    assert (np.diff(offsets) >= 0).all()
    assert ((offsets >= 0) & (offsets < within.end_ns)).all()
    assert offsets.tolist() == arrival_offsets(arrivals, rate, within, seed, ("all",)).tolist()


@pytest.mark.parametrize("arrivals", [POISSON, CONSTANT, process(process="gamma", burstiness=0.3), RAMP, STEPS])
def test_a_longer_drain_only_adds_arrivals_at_the_end(arrivals: Any) -> None:
    short, long = (arrival_offsets(arrivals, 3.0, spans(5, 300, drain), 1, ("all",)).tolist() for drain in (1, 200))
    assert long[: len(short)] == short
    assert len(long) > len(short)


@pytest.mark.parametrize("arrivals", [POISSON, CONSTANT, process(process="gamma", burstiness=0.3)])
def test_twice_the_rate_is_the_same_arrivals_in_half_the_time(arrivals: Any) -> None:
    slow, fast = (arrival_offsets(arrivals, rate, LONG, 1, ("all",)) for rate in (2.0, 4.0))
    assert np.abs(fast[: len(slow)] - slow / 2).max() <= 1


@pytest.mark.parametrize("arrivals", [POISSON, BURSTS, RAMP, process(process="gamma", burstiness=0.3)])
def test_other_seeds_and_other_streams_have_other_arrivals(arrivals: Any) -> None:
    drawn = [
        tuple(arrival_offsets(arrivals, 3.0, CHANGING, seed, stream).tolist())
        for seed, stream in ((1, ("all",)), (2, ("all",)), (1, ("other",)), (1, ("all", "tenant", "a")))
    ]
    assert all(one != other for one, other in pairwise(drawn))
    assert len(set(drawn)) == len(drawn)


def test_arrivals_of_two_streams_have_nothing_to_do_with_each_other() -> None:
    counts = [
        np.histogram(arrival_offsets(POISSON, 5.0, LONG, 1, ("all", "tenant", name)), bins=2000, range=(0, 2e12))[0]
        for name in "ab"
    ]
    assert abs(np.corrcoef(counts)[0, 1]) < 4 / np.sqrt(2000)


def test_a_window_is_closed_at_its_start_and_open_at_its_end() -> None:
    within = spans(1, 2, 1)
    edges = np.asarray([0, NS_PER_S - 1, NS_PER_S, 3 * NS_PER_S - 1, 3 * NS_PER_S, 4 * NS_PER_S - 1])
    assert within.phases(edges).to_pylist() == ["warm_up", "warm_up", "window", "window", "drain", "drain"]
    assert within.in_window(edges) == 2


def replay(*seconds: float, **fields: Any) -> TraceArrivals:
    rows = tuple(TraceRow(from_seconds(each), 1, 1) for each in seconds)
    return TraceArrivals(process="trace", file=Path("some.csv"), **fields).with_trace(Trace(rows))


def test_a_trace_is_replayed_as_it_is_faster_or_from_later_on() -> None:
    within = spans(0, 100, 0)
    assert instants(replay(0, 0, 3, 10), 0, 1, within).tolist() == [0, 0, 3, 10]
    assert instants(replay(0, 0, 3, 10, time_scale=2.5), 0, 1, within).tolist() == [0, 0, 1.2, 4]
    assert instants(replay(0, 0, 3, 10, start_s=3.0, time_scale=0.5), 0, 1, within).tolist() == [0, 14]
    assert instants(replay(0, 5, 10), 0, 1, spans(1, 8, 1)).tolist() == [0, 5]
    assert mean_rate(replay(0, 5, 10), 0, spans(1, 8, 1)) == 1 / 8


def test_a_trace_that_never_reaches_the_window_is_refused_with_its_length() -> None:
    with pytest.raises(UsageError, match=r"replayed, the whole trace lasts 4\.0 s") as refused:
        instants(replay(0, 3, 8, time_scale=2.0), 0, 1, spans(5, 30, 5))
    assert "time_scale" in str(refused.value.hint)


def test_arrivals_without_number_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 1,000,000"):
        instants(POISSON, 5000.0, 1)
