"""Where throughput stops growing, on servers whose throughput is a formula; and speed at light load."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.analysis.growth import next_latency, next_throughput
from harness.analysis.search import Answer, Found, Probe, Probed, SearchSettings

SETTINGS = SearchSettings(lowest=1, highest=64, share=0.9, resolution=0.05, confirmations=2)
Next = Callable[[list[Probed], SearchSettings], Probe | Found]


def _search(
    step: Next, value: Callable[[float], float | None], answer: Answer = "held", of: SearchSettings = SETTINGS
) -> tuple[Found, list[Probed]]:
    history: list[Probed] = []
    for _ in range(of.most_probes + 1):
        asked = step(history, of)
        if isinstance(asked, Found):
            return asked, history
        history.append(Probed(asked, answer, value=value(asked.load)))
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("slots", [1, 2, 8, 32])
def test_throughput_stops_growing_at_the_servers_slots(slots: int) -> None:
    found, history = _search(next_throughput, lambda load: 100.0 * min(load, slots))
    assert found.load == slots
    assert max(one.probe.load for one in history) == 2 * slots, "one doubling beyond, and no more"
    assert sum(one.probe.load == slots for one in history) == 3, "the load found is measured twice more"


def test_a_server_that_gets_slower_beyond_its_best_load_is_not_followed() -> None:
    found, history = _search(next_throughput, lambda load: load * 100 if load <= 8 else 400)
    assert found.load == 8
    assert len(history) == 5 + 2
    assert "16 gives -50.0%" in found.why


def test_throughput_that_grows_to_the_end_says_so() -> None:
    found, history = _search(next_throughput, lambda load: load)
    assert found.load == 64
    assert "raise size.highest" in found.why
    odd = SearchSettings(lowest=3, highest=10, share=0.9)
    _, history = _search(next_throughput, lambda load: load, of=odd)
    assert [one.probe.load for one in history] == [3, 6, 10, 10, 10]


def test_a_load_at_which_the_server_gave_way_ends_the_climb() -> None:
    history: list[Probed] = []
    while not isinstance(asked := next_throughput(history, SETTINGS), Found):
        lost = asked.load > 4
        history.append(Probed(asked, "lost" if lost else "held", value=None if lost else asked.load))
    assert asked.load == 4
    found, history = _search(next_throughput, lambda _: None, answer="lost")
    assert (found.status, len(history)) == ("none_holds", 1)


def test_light_load_is_measured_as_often_as_a_load_found() -> None:
    found, history = _search(next_latency, lambda _: 50.0)
    assert found.load == 1
    assert [one.probe.load for one in history] == [1, 1, 1]


@pytest.mark.parametrize("step", [next_throughput, next_latency])
def test_invalid_probes_are_measured_again_at_most_twice(step: Next) -> None:
    found, history = _search(step, lambda _: None, answer="invalid")
    assert (found.status, len(history)) == ("invalid", 3)
