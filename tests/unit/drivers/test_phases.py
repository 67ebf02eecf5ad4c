"""The state machine of one repetition, driven by made-up instants."""

from __future__ import annotations

import pytest

from harness.drivers.locust.execution import back_off_s
from harness.drivers.locust.phases import ANNOUNCE_NS, Phases, quantile_of_lags

SECOND = 1_000_000_000


def _phases(**changes: object) -> Phases:
    settings: dict[str, object] = {
        "start_ns": 0,
        "warm_up_ns": 5 * SECOND,
        "warm_up_requests": 4,
        "window_ns": 10 * SECOND,
        "window_requests": None,
        "drain_limit_ns": 3 * SECOND,
    }
    return Phases(**(settings | changes))  # type: ignore[arg-type]


def _warm(phases: Phases) -> int:
    """Finish the warm-up; returns the instant at which the window opens."""
    for sent in range(4):
        phases.on_sent(sent)
        phases.on_done(sent)
    assert phases.announce(6 * SECOND)
    assert phases.window_start_ns == 6 * SECOND + ANNOUNCE_NS
    return phases.window_start_ns


def test_warm_up_lasts_its_time_and_its_requests() -> None:
    phases = _phases()
    assert not phases.announce(9 * SECOND), "no request is done yet"
    for sent in range(4):
        phases.on_sent(sent)
        phases.on_done(sent)
    assert not phases.announce(4 * SECOND), "the time is not over"
    assert phases.announce(6 * SECOND)
    assert not phases.announce(7 * SECOND), "a window is announced once"


def test_the_window_is_half_open() -> None:
    phases = _phases()
    start = _warm(phases)
    assert phases.phase(start - 1) == "warm_up"
    assert phases.phase(start) == "window"
    assert phases.phase(start + 10 * SECOND - 1) == "window"
    assert phases.phase(start + 10 * SECOND) == "drain"


def test_load_goes_on_until_the_cohort_is_done() -> None:
    phases = _phases()
    start = _warm(phases)
    phases.on_sent(start + 9 * SECOND)
    assert phases.may_send(start + 11 * SECOND), "a cohort request is still in flight"
    phases.on_sent(start + 11 * SECOND)  # drain: not of the cohort
    phases.on_done(start + 9 * SECOND)
    assert not phases.may_send(start + 12 * SECOND)
    assert phases.is_over(start + 12 * SECOND)


def test_the_drain_limit_ends_a_cohort_that_hangs() -> None:
    phases = _phases()
    start = _warm(phases)
    phases.on_sent(start)
    assert not phases.is_over(start + 13 * SECOND - 1)
    assert phases.is_over(start + 13 * SECOND)


def test_a_window_of_requests_closes_with_the_send_of_the_last() -> None:
    phases = _phases(window_ns=None, window_requests=3)
    start = _warm(phases)
    for sent in (start - 5, start, start + 7, start + 9):
        phases.on_sent(sent)
    assert phases.window_end_ns == start + 10
    assert [phases.phase(sent) for sent in (start - 5, start, start + 9, start + 10)] == [
        "warm_up",
        "window",
        "window",
        "drain",
    ]


def test_stopping_closes_an_open_window_here() -> None:
    phases = _phases()
    start = _warm(phases)
    phases.stop(start + SECOND, "interrupted")
    phases.stop(start + 2 * SECOND, "max_requests")
    assert (phases.window_end_ns, phases.ended) == (start + SECOND, "interrupted")
    assert not phases.may_send(start + SECOND)


def test_stopping_before_the_window_opens_leaves_no_window() -> None:
    phases = _phases()
    start = _warm(phases)
    phases.stop(start - 1, "interrupted")
    assert (phases.window_start_ns, phases.window_end_ns) == (None, None)
    assert phases.phase(start + SECOND) == "warm_up"


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10)])
def test_the_quantile_of_lags_is_an_observed_value(share: float, expected: int) -> None:
    lags = list(range(10, 0, -1))
    assert quantile_of_lags(lags, share) == expected
    assert quantile_of_lags([], share) is None


def test_users_back_off_ever_longer_but_never_over_a_second() -> None:
    waits = [back_off_s(failures) for failures in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.05, 1.0)
