"""Little's law against a count at every instant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.littles_law import littles_law
from harness.metrics.flow import mean_between

SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), min_size=1, max_size=30)


def arrays(spans):
    begun = np.asarray([b for b, _ in spans], np.int64)
    return begun, begun + np.asarray([length for _, length in spans], np.int64)


@given(SPANS, st.integers(0, 200), st.integers(1, 150))
def test_in_flight_equals_counting_at_every_instant(spans, start, length):
    begun, ended = arrays(spans)
    counted = [sum(b <= t < e for b, e in zip(begun, ended, strict=True)) for t in range(start, start + length)]
    mean = mean_between(begun, ended, np.asarray([start, start + length]))
    assert mean[0] == pytest.approx(sum(counted) / length, abs=1e-9)


@given(SPANS, st.integers(1, 9))
def test_rates_weigh_the_items(spans, weight):
    begun, ended = arrays(spans)
    edges = np.asarray([0, 50, 400])
    weighted = mean_between(begun, ended, edges, np.full(begun.size, float(weight)))
    assert weighted == pytest.approx(weight * mean_between(begun, ended, edges), abs=1e-9)


def test_two_users_that_never_pause_obey_the_law():
    begun = np.arange(0, 10_000, 50, dtype=np.int64)
    law = littles_law(begun, begun + 100, 1000, 9000)
    assert law is not None
    assert (law.in_flight, law.arrivals_per_s * 1e-9, law.residence_s * 1e9) == pytest.approx((2.0, 1 / 50, 100))
    assert law.deviation < 1e-9
    assert law.edge_share == pytest.approx(100 / 8000 * 3), "two in flight: three times sqrt(2 / 2)"


def test_a_growing_queue_breaks_it():
    begun = np.arange(0, 10_000, 50, dtype=np.int64)
    law = littles_law(begun, begun + 100 + begun, 0, 5000)
    assert law is not None
    assert law.deviation > 0.05


def test_without_arrivals_there_is_no_law():
    assert littles_law(np.asarray([5]), np.asarray([9]), 10, 20) is None
