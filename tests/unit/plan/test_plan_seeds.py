"""Named seeds: frozen values, independence of dimensions, prefix stability."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from harness.plan.seeds import DIMENSIONS, derive, permutation, uniforms, whole_numbers, words


def test_the_derivation_and_the_generator_give_the_same_values_as_ever() -> None:
    """Frozen: a change here means that the same scenario gives another plan. Raise the schema version then."""
    assert derive(1, "lengths") == 0xE98F848F_9C52AF8B_8A7CDE49_11EBA825
    assert [f"{word:016x}" for word in words(derive(1, "lengths"), 4).tolist()] == [
        "bdd66e567f889b9c",
        "c8857a56b03f4e31",
        "6f813e81202f17c4",
        "62448994e31b05db",
    ]
    assert uniforms(derive(1, "lengths"), 2).tolist() == [0.7415532075097268, 0.7832867108957063]


def test_philox_matches_the_published_test_vector() -> None:
    """Random123's kat_vectors: philox4x64-10, counter and key all zero. numpy counts up before its first block."""
    start = (1 << 256) - 1
    generator = np.random.Philox(key=0, counter=start)
    assert [f"{word:016x}" for word in generator.random_raw(4).tolist()] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]


def test_every_dimension_and_every_qualifier_has_a_seed_of_its_own() -> None:
    seeds = [derive(1, name) for name in DIMENSIONS] + [derive(2, "lengths"), derive(1, "lengths", "chat", "input")]
    assert len(set(seeds)) == len(seeds)
    streams = [uniforms(seed, 20_000) for seed in seeds]
    assert max(abs(np.corrcoef(one, other)[0, 1]) for one, other in combinations(streams, 2)) < 0.03


def test_qualifiers_do_not_run_into_each_other() -> None:
    assert derive(1, "lengths", "ab", "c") != derive(1, "lengths", "a", "bc")


@pytest.mark.parametrize("draw", [words, uniforms, permutation])
def test_the_same_seed_draws_the_same_values(draw) -> None:  # type: ignore[no-untyped-def]
    assert draw(derive(3, "parts"), 50).tolist() == draw(derive(3, "parts"), 50).tolist()


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    seed = derive(7, "lengths")
    assert uniforms(seed, 100_000)[:101].tolist() == uniforms(seed, 101).tolist()


def test_uniform_numbers_are_uniform_and_never_zero_or_one() -> None:
    values = np.sort(uniforms(derive(1, "prompts"), 100_000))
    assert values[0] > 0
    assert values[-1] < 1
    assert kolmogorov(values) < 1.95 / np.sqrt(len(values))  # p = 0.001


def test_the_extreme_words_stay_inside_the_open_interval() -> None:
    cells = np.array([0, 2**64 - 1], dtype=np.uint64) >> np.uint64(12)
    low, high = (cells.astype(np.float64) + 0.5) * 2.0**-52
    assert 0 < low < high < 1


def test_whole_numbers_cover_the_range_evenly() -> None:
    counts = np.bincount(whole_numbers(derive(1, "prompts"), 64_000, 64), minlength=64)
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert len(counts) == 64
    assert abs(chi_square - 63) < 4 * np.sqrt(2 * 63)


def test_a_permutation_holds_every_number_once() -> None:
    assert sorted(permutation(derive(1, "order"), 500).tolist()) == list(range(500))


def kolmogorov(ordered: np.ndarray) -> float:
    """The largest distance between the empirical distribution of sorted values and the uniform one."""
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((ranks[1:] - ordered).max(), (ordered - ranks[:-1]).max()))
