"""The search for the highest load that holds: exact where answers are exact, covered where they are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.clustering import clustering
from harness.analysis.objective_counts import Counted, judge_counts
from harness.analysis.search import (
    Answer,
    Found,
    Probe,
    Probed,
    SearchSettings,
    hopeless,
    judge,
    next_probe,
    probe_requests,
)
from harness.analysis.search_length import estimated_probes, probes_left
from tests.oracle import queue

SETTINGS = SearchSettings(lowest=1, highest=256, share=0.9)


def _search(answer: Callable[[Probe], Answer], of: SearchSettings = SETTINGS) -> tuple[Found, list[Probed]]:
    history: list[Probed] = []
    for _ in range(of.most_probes + 1):
        step = next_probe(history, of)
        if isinstance(step, Found):
            return step, history
        history.append(Probed(step, answer(step)))
    raise AssertionError("the search does not end")


@settings(max_examples=200, deadline=None)
@given(edge=st.floats(1.0, 255.0), resolution=st.floats(0.02, 0.5))
def test_where_answers_are_exact_the_edge_lies_in_the_interval(edge: float, resolution: float) -> None:
    of = SearchSettings(lowest=1, highest=256, share=0.9, resolution=resolution)
    found, history = _search(lambda probe: "held" if probe.load <= edge else "lost", of)
    assert found.load is not None
    assert found.high is not None
    assert found.load <= edge < found.high
    assert found.high <= found.load * (1 + resolution) * 1.001 or found.high - found.load < 0.02
    assert [one.probe.purpose for one in history[-2:]] == ["confirm", "confirm"]
    assert len(history) <= 2 * estimated_probes(of) + 4


def test_whole_numbers_are_found_to_the_number() -> None:
    of = SearchSettings(lowest=1, highest=64, share=0.9, integer=True, resolution=0.01)
    for edge in (1, 2, 13, 37, 63):
        found, _ = _search(lambda probe, edge=edge: "held" if probe.load <= edge else "lost", of)  # type: ignore[misc]
        assert (found.load, found.high) == (edge, edge + 1)


def test_both_ends_are_said() -> None:
    found, _ = _search(lambda _: "lost")
    assert (found.load, found.status) == (None, "none_holds")
    assert "lowest load" in found.why
    found, _ = _search(lambda _: "held")
    assert (found.load, found.high) == (256, None)
    assert "raise size.highest" in found.why


def test_a_confirmation_that_fails_moves_the_edge_down() -> None:
    def answer(probe: Probe) -> Answer:
        if probe.purpose == "confirm":
            return "held" if probe.load <= 20 else "lost"
        return "held" if probe.load <= 30 else "lost"

    found, _ = _search(answer)
    assert found.load is not None
    assert 10 < found.load <= 20


def test_undecided_is_asked_once_more_with_twice_the_requests_and_then_counts_as_not_held() -> None:
    found, history = _search(lambda probe: "held" if probe.load <= 10 else "undecided")
    first, again = (one.probe for one in history if one.answer == "undecided" and one.probe.load == 16)
    assert again.requests == 2 * first.requests
    assert found.high is None, "nothing was shown to be lost"
    asked = itertools.count()
    found, _ = _search(lambda probe: "held" if probe.load <= 10 or next(asked) % 2 else "undecided")
    assert found.load == 256, "an answer of the second, longer probe stands"


def test_the_repetition_of_an_undecided_probe_asks_for_what_would_decide() -> None:
    def asked_after(requests: int, enough: int | None) -> int:
        first = next_probe([], SETTINGS)
        assert isinstance(first, Probe)
        again = next_probe([Probed(first, "undecided", requests=requests, enough=enough)], SETTINGS)
        assert isinstance(again, Probe)
        assert (again.load, again.purpose) == (first.load, first.purpose)
        return again.requests

    assert asked_after(500, None) == 1000, "twice what it had, not twice what it asked for"
    assert asked_after(500, 1700) == 1700
    assert asked_after(500, 90_000) == 3000, "bounded"


def test_a_lowest_load_that_stays_undecided_is_not_called_lost() -> None:
    found, _ = _search(lambda _: "undecided")
    assert (found.status, found.load, found.high) == ("undecided", None, None)
    assert "could not be decided" in found.why


@pytest.mark.parametrize(("planned", "share"), [(116, 0.9), (500, 0.9), (459, 0.99), (5000, 0.99)])
def test_a_hopeless_count_loses_the_test_also_when_a_tenth_of_the_requests_count(planned: int, share: float) -> None:
    late = hopeless(planned, share, 0.95)
    assert judge({"a": (late, planned)}, {"a": share}, 0.95) == "lost"
    assert late > (1 - share) * planned, "well beyond the allowed share"
    assert late <= planned
    counts = [Counted(late, planned, 10.0)]
    assert judge_counts(counts, share, 0.95) == "lost" or late == planned


def test_what_is_left_shrinks_to_nothing_and_comes_near_the_truth() -> None:
    for edge in (3.0, 20.0, 200.0):
        found, history = _search(lambda probe, edge=edge: "held" if probe.load <= edge else "lost")  # type: ignore[misc]
        left = [probes_left(history[:n], SETTINGS) for n in range(1, len(history) + 1)]
        assert left[-1] == 0
        for n, guess in enumerate(left, start=1):
            assert abs(guess - (found.probes - n)) <= 6


def test_an_invalid_probe_between_an_undecided_one_and_its_repetition_changes_nothing() -> None:
    def after(*answers: Answer) -> Probe:
        history: list[Probed] = []
        for answer in answers:
            step = next_probe(history, SETTINGS)
            assert isinstance(step, Probe)
            history.append(Probed(step, answer))
        step = next_probe(history, SETTINGS)
        assert isinstance(step, Probe)
        return step

    assert after("held", "undecided", "invalid", "held").load == 4, "it climbs on"
    assert after("held", "undecided", "invalid", "undecided").load < 2, "not asked a third time"


def test_an_invalid_probe_is_measured_again_at_most_twice() -> None:
    found, history = _search(lambda _: "invalid")
    assert (found.status, len(history)) == ("invalid", 3)


def test_noise_is_named_and_the_search_ends() -> None:
    found, _ = _search(lambda probe: "held" if probe.load <= 4 or (probe.load > 5.9 and probe.load < 6.1) else "lost")
    assert found.load is not None
    assert found.load <= 6.1
    of = SearchSettings(lowest=1, highest=256, share=0.9, most_probes=5)
    found, _ = _search(lambda probe: "held" if probe.load <= 30 else "lost", of)
    assert (found.status, found.load) == ("undecided", None)


@pytest.mark.parametrize(("share", "confidence"), [(0.9, 0.95), (0.9, 0.99), (0.99, 0.99)])
def test_a_probe_is_long_enough_for_half_the_allowed_share(share: float, confidence: float) -> None:
    n = probe_requests(share, confidence)
    over = int(0.5 * (1 - share) * n)
    assert judge({"a": (over, n)}, {"a": share}, confidence) == "held"
    assert judge({"a": (over, n), "b": (n, n)}, {"a": share, "b": share}, confidence) == "lost"
    assert judge({"a": (over, n), "b": (0, 3)}, {"a": share, "b": share}, confidence) == "undecided"
    assert judge({}, {}, confidence) == "undecided"


def test_on_simulated_queues_the_interval_covers_the_optimum_with_a_third_of_the_requests() -> None:
    """M/D/1 at service 1 and waits up to 2: the optimum is known in closed form."""
    limit, of = 2.0, SearchSettings(lowest=0.1, highest=1.6, share=0.9, resolution=0.1)
    edge = queue.optimum(lambda rate: queue.over_md1(rate, 1.0, limit), 1.0, 0.9)
    covered, spent, grid = 0, [], 0.0
    level = of.lowest
    while level <= of.highest:  # every level at the search's resolution, as often as a load found is measured
        grid += (1 + of.confirmations) * 2 * probe_requests(0.9, 0.99)
        level *= 1 + of.resolution
    for seed in range(25):
        numbers = itertools.count(1000 * seed)

        def answer(probe: Probe, numbers: itertools.count[int] = numbers) -> Answer:
            waits = queue.waits(next(numbers), probe.load, 1.0, 1, probe.requests, "fixed")
            over = waits > limit
            counts = [Counted(int(over.sum()), over.size, clustering(waits, over, 0.9))]
            return judge_counts(counts, 0.9, probe.confidence)  # type: ignore[return-value]

        found, history = _search(answer, of)
        assert found.load is not None
        covered += found.load <= edge * 1.02 and (found.high is None or found.high >= edge * 0.98)
        spent.append(sum(one.probe.requests for one in history))
    assert covered >= 24, "0.99 twice, and what the clusters leave"
    assert np.mean(spent) < grid / 3
