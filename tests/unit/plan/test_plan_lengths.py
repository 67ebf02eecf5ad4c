"""Lengths are what the distribution's name promises, checked against closed formulas."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from harness.errors import UsageError
from harness.plan.files import with_files_read
from harness.plan.lengths import draw_lengths, quantiles
from harness.plan.seeds import derive
from harness.scenario.lengths import AnyLengths, Empirical, Fixed, Lognormal, Normal, Uniform
from harness.scenario.schema import Scenario

SEED = derive(11, "lengths")
COUNT = 100_000
EVERY = [
    Fixed(tokens=7),
    Uniform(distribution="uniform", min_tokens=3, max_tokens=90),
    Normal(distribution="normal", mean_tokens=100, deviation_tokens=20, max_tokens=130),
    Lognormal(distribution="lognormal", median_tokens=200, sigma=0.8, min_tokens=16, max_tokens=900),
    Empirical(distribution="empirical", tokens=[10, 20, 400], weights=[1, 2, 0.5]),
]


def drawn(lengths: AnyLengths) -> np.ndarray:
    return draw_lengths(lengths, SEED, COUNT)


@pytest.mark.parametrize("lengths", EVERY, ids=lambda lengths: lengths.distribution)
def test_drawing_more_never_changes_the_lengths_before(lengths: AnyLengths) -> None:
    assert draw_lengths(lengths, SEED, 100).tolist() == drawn(lengths)[:100].tolist()


@pytest.mark.parametrize("lengths", EVERY, ids=lambda lengths: lengths.distribution)
def test_a_drawn_length_is_the_quantile_at_its_uniform_number(lengths: AnyLengths) -> None:
    shares = np.array([0.001, 0.25, 0.5, 0.75, 0.999])
    assert np.all(np.diff(quantiles(lengths, shares)) >= 0)
    found = np.quantile(drawn(lengths), shares[1:4], method="inverted_cdf")
    assert found == pytest.approx(quantiles(lengths, shares[1:4]), rel=0.02, abs=1)


def test_fixed_is_always_the_same() -> None:
    assert set(drawn(Fixed(tokens=7)).tolist()) == {7}


def test_uniform_draws_every_whole_number_equally_often_bounds_included() -> None:
    counts = np.bincount(drawn(Uniform(distribution="uniform", min_tokens=3, max_tokens=12)))
    assert counts[:3].sum() == 0
    assert len(counts) == 13
    expected = COUNT / 10
    chi_square = ((counts[3:] - expected) ** 2 / expected).sum()
    assert chi_square < 9 + 4 * np.sqrt(2 * 9)


def test_uniform_over_one_number_is_that_number() -> None:
    assert set(drawn(Uniform(distribution="uniform", min_tokens=5, max_tokens=5)).tolist()) == {5}


def test_normal_has_the_mean_deviation_and_shape_it_names() -> None:
    values = drawn(Normal(distribution="normal", mean_tokens=1000, deviation_tokens=100, max_tokens=100_000))
    assert values.mean() == pytest.approx(1000, abs=4 * 100 / np.sqrt(COUNT))
    assert values.std() == pytest.approx(100, rel=0.01)
    assert furthest(values, NormalDist(1000, 100).cdf) < 1.95 / np.sqrt(COUNT)


def test_normal_is_clipped_not_drawn_again() -> None:
    """The mass beyond a bound lies on the bound."""
    values = drawn(Normal(distribution="normal", mean_tokens=100, deviation_tokens=10, min_tokens=90, max_tokens=105))
    assert (values.min(), values.max()) == (90, 105)
    assert (values == 105).mean() == pytest.approx(1 - NormalDist(100, 10).cdf(104.5), abs=0.01)
    assert (values == 90).mean() == pytest.approx(NormalDist(100, 10).cdf(90.5), abs=0.01)


def test_lognormal_has_the_median_mean_and_shape_it_names() -> None:
    values = drawn(Lognormal(distribution="lognormal", median_tokens=5000, sigma=0.5, max_tokens=10_000_000))
    assert np.median(values) == pytest.approx(5000, rel=0.01)
    assert values.mean() == pytest.approx(5000 * exp(0.5**2 / 2), rel=0.01)
    assert furthest(values, lambda value: NormalDist(log(5000), 0.5).cdf(log(value))) < 1.95 / np.sqrt(COUNT)


def test_empirical_follows_its_weights() -> None:
    values = drawn(Empirical(distribution="empirical", tokens=[10, 20, 400], weights=[1, 2, 0.5]))
    expected = np.array([1, 2, 0.5]) / 3.5 * COUNT
    counts = np.array([(values == tokens).sum() for tokens in (10, 20, 400)])
    assert counts.sum() == COUNT
    assert ((counts - expected) ** 2 / expected).sum() < 2 + 4 * np.sqrt(2 * 2)


def test_empirical_without_weights_draws_each_entry_equally_often() -> None:
    values = drawn(Empirical(distribution="empirical", tokens=[10, 10, 30]))
    assert (values == 10).mean() == pytest.approx(2 / 3, abs=0.01)


def test_an_empirical_file_is_read_into_its_lengths(tmp_path: Path) -> None:
    file = tmp_path / "lengths.csv"
    file.write_text("when,tokens\n1,40\n2,41\n")
    read = with_files_read(scenario_with(file)).workload[0].parts[0]
    assert read.input_tokens == Empirical(distribution="empirical", tokens=[40, 41])
    assert set(drawn(read.input_tokens).tolist()) == {40, 41}
    assert read.output_tokens == Fixed(tokens=8)


def test_an_empirical_file_that_has_gone_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.csv"):
        with_files_read(scenario_with(tmp_path / "gone.csv"))


def test_an_empirical_file_that_nobody_read_is_refused() -> None:
    with pytest.raises(UsageError, match="not read"):
        drawn(Empirical(distribution="empirical", file=Path("lengths.csv"), column="tokens"))


def furthest(values: np.ndarray, distribution) -> float:  # type: ignore[no-untyped-def]
    """Kolmogorov's distance of rounded values from a continuous distribution, taken between whole numbers."""
    whole, counts = np.unique(values, return_counts=True)
    below = np.cumsum(counts) / len(values)
    return max(abs(share - distribution(tokens + 0.5)) for tokens, share in zip(whole, below, strict=True))


def scenario_with(file: Path) -> Scenario:
    lengths = Empirical(distribution="empirical", file=file, column="tokens")
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "from-file",
            "target": {"engine": "cpu-tiny"},
            "workload": {"input_tokens": lengths, "output_tokens": 8},
            "load": {"kind": "closed_loop", "concurrency": [1]},
        }
    )
