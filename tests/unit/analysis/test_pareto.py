"""The recommendation: the tuning guide's own figures, ties, fronts, and who may not win."""

from __future__ import annotations

import random

import pytest

from harness.analysis.pareto import Candidate, front, recommend

# NVIDIA's tuning guide, Llama-3.3-70B on four H100: setting → output tokens/s
BATCH_SIZES = {64: 1944.0, 512: 2467.0, 2048: 2044.0}
NUM_TOKENS = {2048: 2474.0, 8192: 2467.0, 16384: 2461.0}


def _sweep(values: dict[int, float], repetitions: int = 1, spread: float = 0.0, seed: int = 1) -> list[Candidate]:
    draw = random.Random(seed)
    return [
        Candidate(
            str(setting), f"{setting}-c64", tuple(value * (1 + draw.gauss(0, spread)) for _ in range(repetitions))
        )
        for setting, value in values.items()
    ]


def test_the_tuning_guides_sweep_recommends_batch_size_512() -> None:
    found = recommend(_sweep(BATCH_SIZES))
    assert found.configuration == "512"
    assert [other.configuration for other in found.others] == ["2048", "64"]
    assert found.others[0].margin == pytest.approx(2467 / 2044 - 1)


def test_without_repetitions_no_margin_is_called_real() -> None:
    found = recommend(_sweep(BATCH_SIZES))
    assert not found.margin_is_real
    assert len(found.not_distinguishable) == 2
    assert "one repetition" in found.reason


def test_a_margin_of_a_fifth_is_real_with_a_spread_of_one_percent() -> None:
    found = recommend(_sweep(BATCH_SIZES, repetitions=3, spread=0.01))
    assert found.configuration == "512"
    assert found.margin_is_real
    assert not found.not_distinguishable


def test_with_one_percent_spread_the_three_values_of_max_num_tokens_are_not_distinguishable() -> None:
    called_real = 0
    for seed in range(40):
        found = recommend(_sweep(NUM_TOKENS, repetitions=3, spread=0.01, seed=seed))
        called_real += any(other.real for other in found.others)
    assert called_real <= 4  # 5% of 40 sweeps is 2


def test_drift_of_the_machine_takes_a_margin_its_reality() -> None:
    points = _sweep(BATCH_SIZES, repetitions=3, spread=0.002)
    assert recommend(points).margin_is_real
    assert not recommend(points, drift=0.2).margin_is_real


def test_a_point_that_misses_an_objective_is_never_recommended() -> None:
    fast = Candidate("fast", "fast-c64", (900.0,), why_not="misses time_to_first_token p95")
    slow = Candidate("slow", "slow-c64", (100.0,))
    assert recommend([fast, slow]).configuration == "slow"
    none = recommend([fast])
    assert none.configuration is None
    assert "misses time_to_first_token p95" in none.reason


def test_each_configuration_is_compared_at_its_own_best_point() -> None:
    points = [Candidate("a", "a-c1", (5.0,)), Candidate("a", "a-c4", (9.0,)), Candidate("b", "b-c4", (8.0,))]
    found = recommend([*points, Candidate("b", "b-c1", (1.0,))])
    assert (found.point_id, [other.point_id for other in found.others]) == ("a-c4", ["b-c4"])


def test_the_front_holds_what_no_other_point_beats() -> None:
    points = [(1.0, 9.0), (2.0, 9.0), (3.0, 5.0), (2.5, 4.0), (4.0, 1.0), (4.0, 1.0)]
    assert front(points) == [1, 2, 4, 5]
    assert front([(1.0, 2.0), (2.0, 3.0), (2.0, 2.0)], second="lower") == [2]
