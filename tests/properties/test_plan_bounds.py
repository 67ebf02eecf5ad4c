"""Whatever distribution a scenario names: lengths stay in bounds, and drawing more never changes the first ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.plan.lengths import draw_lengths
from harness.plan.seeds import derive
from harness.scenario.lengths import AnyLengths, Empirical, Fixed, Lognormal, Normal, Uniform

tokens = st.integers(1, 10_000)
positive = st.floats(0.01, 20_000)


@st.composite
def bounds(draw: st.DrawFn) -> dict[str, int]:
    """Ordered bounds."""
    low, high = sorted([draw(tokens), draw(tokens)])
    return {"min_tokens": low, "max_tokens": high}


bounded = st.one_of(
    bounds().map(lambda both: Uniform(distribution="uniform", **both)),
    st.builds(
        lambda both, mean, deviation: Normal(
            distribution="normal", mean_tokens=mean, deviation_tokens=deviation, **both
        ),
        bounds(),
        positive,
        positive,
    ),
    st.builds(
        lambda both, median, sigma: Lognormal(distribution="lognormal", median_tokens=median, sigma=sigma, **both),
        bounds(),
        positive,
        st.floats(0.01, 5),
    ),
)
listed = st.one_of(
    tokens.map(lambda length: Fixed(tokens=length)),
    st.lists(st.tuples(tokens, st.floats(0.01, 100)), min_size=1, max_size=20).map(
        lambda pairs: Empirical(
            distribution="empirical", tokens=[length for length, _ in pairs], weights=[weight for _, weight in pairs]
        )
    ),
)
seeds = st.integers(0, 2**63 - 1)


@given(lengths=bounded, seed=seeds)
def test_lengths_stay_in_their_bounds(lengths: Uniform | Normal | Lognormal, seed: int) -> None:
    drawn = draw_lengths(lengths, derive(seed, "lengths"), 200)
    assert lengths.min_tokens <= drawn.min() <= drawn.max() <= lengths.max_tokens


@given(lengths=listed, seed=seeds)
def test_listed_lengths_are_the_only_ones(lengths: Fixed | Empirical, seed: int) -> None:
    allowed = [lengths.tokens] if isinstance(lengths, Fixed) else lengths.tokens or []
    assert set(draw_lengths(lengths, derive(seed, "lengths"), 200).tolist()) <= set(allowed)


@given(lengths=st.one_of(bounded, listed), seed=seeds, few=st.integers(0, 50), more=st.integers(0, 500))
def test_drawing_more_keeps_the_first(lengths: AnyLengths, seed: int, few: int, more: int) -> None:
    both = [draw_lengths(lengths, derive(seed, "lengths"), count).tolist() for count in (few, few + more)]
    assert both[1][:few] == both[0]
