"""Percentiles of partly unobserved samples equal the slow oracle; interval ranks equal the exact binomial."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.order_statistics import interval_ranks, rank, smallest_n
from harness.metrics.percentile import PERCENTILES, Sample, statistics
from tests.oracle import metrics_oracle

NUMBERS = st.lists(st.integers(0, 50), max_size=120)


@given(seen=NUMBERS, limits=st.lists(st.integers(0, 80), max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_percentile_is_the_smallest_value_with_enough_at_or_below_it(seen, limits):
    entries = [("seen", Fraction(v)) for v in seen] + [("beyond", Fraction(v)) for v in limits]
    values = statistics(Sample(np.array(seen, dtype=np.int64), np.array(limits, dtype=np.int64)), "ns")
    for name in PERCENTILES:
        expected = metrics_oracle.percentile(entries, name)
        if expected is None:
            needs = f"needs {metrics_oracle.NEEDED[name]} requests" if entries else "no data: no requests to count"
            assert values[name].reason == needs
        else:
            assert (values[name].value, values[name].above) == (expected[1], expected[0] == "above")


@given(seen=NUMBERS, limits=st.lists(st.integers(0, 80), max_size=30))
@settings(max_examples=100, deadline=None)
def test_statistics_rise_from_p50_to_max_and_enclose_their_interval(seen, limits):
    values = statistics(Sample(np.array(seen, dtype=np.int64), np.array(limits, dtype=np.int64)), "ns")
    shown = [values[name] for name in (*PERCENTILES, "max") if values[name].value is not None]
    numbers = [value.value for value in shown]
    assert numbers == sorted(numbers)
    assert [value.above for value in shown] == sorted(value.above for value in shown)
    for value in shown:
        assert value.low is None or value.low <= value.value
        assert value.high is None or value.high >= value.value


@given(seen=NUMBERS, limits=st.lists(st.integers(0, 80), max_size=30))
@settings(max_examples=100, deadline=None)
def test_failures_that_rank_lowest_are_the_mirror_of_failures_that_rank_highest(seen, limits):
    mirrored = statistics(Sample(-np.array(seen, dtype=float), -np.array(limits, dtype=float), "lowest"), "per_s")
    entries = [("seen", Fraction(v)) for v in seen] + [("beyond", Fraction(v)) for v in limits]
    for name, share in metrics_oracle.SHARES.items():
        if len(entries) >= metrics_oracle.NEEDED[name]:
            at = rank(PERCENTILES[name], len(entries))
            ascending = sorted(entries, key=lambda entry: (entry[0] == "beyond", entry[1]))
            kind, _ = ascending[len(entries) - at]
            assert mirrored[name].below == (kind == "beyond"), share
            if kind == "seen":
                assert mirrored[name].value == -ascending[len(entries) - at][1]


def exact_ranks(permille: int, n: int) -> tuple[int, int]:
    p, tail = Fraction(permille, 1000), Fraction(25, 1000)
    cumulative, at = [], Fraction(0)
    for k in range(n + 1):
        at += comb(n, k) * p**k * (1 - p) ** (n - k)
        cumulative.append(at)
    low = next(k for k in range(n + 1) if cumulative[k] >= tail)
    high = next(k for k in range(n + 1) if cumulative[k] >= 1 - tail) + 1
    return low, high


@given(permille=st.sampled_from([500, 900, 950, 990]), n=st.integers(1, 450))
@settings(max_examples=60, deadline=None)
def test_interval_ranks_are_those_of_the_exact_binomial(permille, n):
    low, high = exact_ranks(permille, n)
    exists = low >= 1 and high <= n
    assert (n >= smallest_n(permille)) == exists
    assert interval_ranks(permille, n) == ((low, high) if exists else None)


@pytest.mark.parametrize(("permille", "needed"), [(500, 6), (900, 36), (950, 72), (990, 368), (999, 3688)])
def test_the_smallest_n_is_the_known_one(permille, needed):
    assert smallest_n(permille) == needed
    assert interval_ranks(permille, needed - 1) is None
    low, high = interval_ranks(permille, needed)
    assert low >= 1
    assert high <= needed


@pytest.mark.parametrize(("n", "ranks"), [(1000, (983, 997)), (3000, (2959, 2981)), (10_000, (9880, 9920))])
def test_interval_ranks_of_p99_are_the_published_ones(n, ranks):
    """Sourced table: statistics facts §1.3, computed with scipy's binomial."""
    assert interval_ranks(990, n) == ranks


def test_interval_ranks_stay_exact_for_a_hundred_million_values():
    low, high = interval_ranks(990, 10**8)
    spread = (10**8 * 0.99 * 0.01) ** 0.5
    assert low == pytest.approx(0.99e8 - 1.96 * spread, abs=3)
    assert high == pytest.approx(0.99e8 + 1.96 * spread, abs=3)
