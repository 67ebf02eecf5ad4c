"""Intervals, exact laws and planning against closed forms, scipy, statsmodels, brute force and published tables."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from harness.gate import intervals, power, spending
from harness.gate.decision import holm


@pytest.mark.parametrize(
    ("n", "level", "w"), [(6, 0.05, 2), (8, 0.05, 5), (10, 0.05, 10), (16, 0.05, 35), (16, 0.01, 23)]
)
def test_signed_rank_critical_values_are_those_of_the_published_table(n, level, w):
    """Wilcoxon & Wilcox (1964), one-sided critical values of the smaller rank sum."""
    assert intervals.signed_rank_critical(n, level) == w


@pytest.mark.parametrize("n", [4, 7, 10])
def test_signed_rank_p_equals_brute_force_over_all_sign_flips(n):
    x = np.random.default_rng(n).normal(0.3, 1, n)
    ranks = stats.rankdata(np.abs(x))
    seen = ranks[x > 0].sum()
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=n)]
    assert intervals.p_above(x, 0.0, "signed_rank") == pytest.approx(np.mean([s >= seen for s in sums]))
    assert intervals.p_above(x, 0.0, "signed_rank") == pytest.approx(
        stats.wilcoxon(x, alternative="greater", method="exact").pvalue
    )


@pytest.mark.parametrize("method", ["t", "signed_rank"])
def test_a_bound_and_its_p_value_say_the_same(method):
    x = np.random.default_rng(3).normal(0.1, 0.05, 11)
    low, high = (f(x, 0.03, method) for f in (intervals.lower_bound, intervals.upper_bound))
    for bound, below in ((low - 1e-9, True), (low + 1e-9, False)):
        assert (intervals.p_above(x, bound, method) <= 0.03) == below
    for bound, above in ((high + 1e-9, True), (high - 1e-9, False)):
        assert (intervals.p_below(x, bound, method) <= 0.03) == above


def test_t_claims_equal_scipy_and_the_equivalence_test_of_statsmodels():
    x = np.random.default_rng(5).normal(0.01, 0.04, 9)
    assert intervals.p_above(x, 0.02, "t") == pytest.approx(stats.ttest_1samp(x, 0.02, alternative="greater").pvalue)
    ours = max(intervals.p_above(x, -0.05, "t"), intervals.p_below(x, 0.05, "t"))
    assert ours == pytest.approx(DescrStatsW(x).ttost_mean(-0.05, 0.05)[0])


def test_holm_equals_statsmodels_in_any_order():
    random = np.random.default_rng(7)
    for _ in range(6):
        p = random.uniform(0, 0.2, 6)
        assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])


@pytest.mark.parametrize("method", ["t", "signed_rank"])
def test_intervals_cover_the_truth_as_often_as_they_promise(method):
    random = np.random.default_rng(11)
    x = random.normal(0, 1, (3000, 10))
    covered = np.mean([intervals.lower_bound(row, 0.05, method) <= 0 for row in x])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 3000)


def test_infinite_effects_have_ranks_and_many_of_them_no_finite_upper_bound():
    x = np.array([math.inf, 0.2, 0.21, 0.22, 0.23, 0.24])
    assert intervals.p_above(x, 0.05, "t") == 1 / 64
    assert intervals.upper_bound(x, 1 / 64, "t") == math.inf


@pytest.mark.parametrize("looks", [(6,), (6, 10, 16), (4, 5, 7), (8, 30)])
def test_all_looks_together_keep_the_error_rate_that_is_promised(looks):
    random = np.random.default_rng(13)
    gates = 40_000
    x = random.standard_normal((gates, looks[-1]))
    schedule = tuple((n, "t") for n in looks)
    level = spending.nominal_level(0.05, schedule)
    crossed = np.zeros(gates, dtype=bool)
    for n in looks:
        t = x[:, :n].mean(1) / x[:, :n].std(1, ddof=1) * math.sqrt(n)
        crossed |= stats.t.sf(t, n - 1) <= level
    assert abs(crossed.mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / gates)


def test_peeking_after_every_pair_costs_what_simulations_elsewhere_found():
    assert spending.crossing_exactly(0.05, tuple(range(5, 21))) == pytest.approx(0.165, abs=0.003)
    assert spending.crossing_exactly(0.05, (5, 10, 15)) == pytest.approx(0.106, abs=0.003)
    assert spending.crossing_exactly(0.0221, (5, 10, 15)) == pytest.approx(0.051, abs=0.001)


def test_looks_by_ranks_add_what_each_can_attain():
    looks = ((6, "signed_rank"), (10, "signed_rank"))
    assert spending.sequential_p(10 / 1024, looks) == 10 / 1024
    assert spending.sequential_p(1 / 64, looks) == 1 / 64 + 14 / 1024


@pytest.mark.parametrize(
    ("spread", "margin", "pairs"),
    [(0.01, 0.02, 4), (0.02, 0.02, 8), (0.03, 0.02, 16), (0.05, 0.05, 8), (0.08, 0.05, 18), (0.08, 0.02, 101)],
)
def test_pairs_needed_are_those_of_the_noncentral_t(spread, margin, pairs):
    needed = power.pairs_needed(spread, margin, 0.05)
    assert needed == pairs
    t = stats.t.isf(0.05, needed - 1)
    assert stats.nct.sf(t, needed - 1, margin / spread * math.sqrt(needed)) >= 0.8
