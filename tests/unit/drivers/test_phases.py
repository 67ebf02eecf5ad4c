"""The phases of a repetition as pure state machines: what a worker sees, and what the conductor decides."""

from __future__ import annotations

import dataclasses

import pytest

from harness.drivers.locust.closed_loop import back_off_s
from harness.drivers.locust.course import ANNOUNCE_NS, LOST_AFTER_S, Course
from harness.drivers.locust.messages import Status
from harness.drivers.locust.phases import Phases, quantile_of_lags, stopped_window

SECOND = 1_000_000_000


def _course(**changes: object) -> Course:
    settings: dict[str, object] = {
        "start_ns": 0,
        "warm_up_ns": 5 * SECOND,
        "warm_up_requests": 4,
        "window_ns": 10 * SECOND,
        "drain_limit_ns": 3 * SECOND,
    }
    return Course(**(settings | changes))  # type: ignore[arg-type]


def _status(**changes: object) -> Status:
    calm = Status(
        worker=0,
        at_ns=0,
        done=0,
        in_flight=0,
        cohort_open=0,
        window_end_ns=None,
        exhausted_ns=None,
        failing_s=0.0,
        sink_error=None,
        figures=None,
    )
    return dataclasses.replace(calm, **changes)  # type: ignore[arg-type]


def test_warm_up_lasts_its_time_and_its_requests() -> None:
    course = _course()
    assert not course.announce(9 * SECOND, done=3), "not enough requests are done yet"
    assert not course.announce(4 * SECOND, done=4), "the time is not over"
    assert course.announce(6 * SECOND, done=4)
    assert course.window_start_ns == 6 * SECOND + ANNOUNCE_NS
    assert not course.announce(7 * SECOND, done=4), "a window is announced once"


def test_a_planned_window_is_announced_ahead_whatever_is_done() -> None:
    course = _course()
    course.plan_window(10 * SECOND)
    assert (course.window_start_ns, course.window_end_ns) == (5 * SECOND, 15 * SECOND)
    assert not course.announce(5 * SECOND - ANNOUNCE_NS - 1, done=100)
    assert course.announce(5 * SECOND - ANNOUNCE_NS, done=0)


def test_load_goes_on_until_the_cohort_of_every_worker_is_done() -> None:
    course = _course()
    course.plan_window(10 * SECOND)
    idle, busy = _status(at_ns=16 * SECOND), _status(at_ns=16 * SECOND, cohort_open=1)
    assert course.ending(16 * SECOND, [idle, busy]) is None
    assert course.ending(16 * SECOND, [idle, idle]) == "window_over"
    assert course.ending(18 * SECOND - 1, [idle, busy]) is None
    assert course.ending(18 * SECOND, [idle, busy]) == "window_over", "the drain limit ends a cohort that hangs"


def test_a_status_from_before_the_end_of_the_window_says_nothing_about_its_cohort() -> None:
    course = _course()
    course.plan_window(10 * SECOND)
    assert course.ending(15 * SECOND, [_status(at_ns=15 * SECOND - 1)]) is None


def test_the_load_ends_early_for_a_full_disk_a_lost_target_and_a_saturated_probe() -> None:
    course = _course(stop_above_in_flight=10)
    assert course.ending(0, [_status(), _status(sink_error="no space")]) == "driver_failed"
    lost = _status(failing_s=LOST_AFTER_S + 1)
    assert course.ending(0, [lost, lost]) == "target_lost"
    assert course.ending(0, [lost, _status()]) is None, "one worker still gets answers"
    assert course.ending(0, [_status(in_flight=5), _status(in_flight=6)]) == "stopped_saturated"
    assert course.ending(0, [_status(in_flight=5), _status(in_flight=5)]) is None
    assert course.ending(0, [_status(exhausted_ns=7), _status(exhausted_ns=5)]) == "max_requests"
    assert course.exhausted_ns([_status(), _status(exhausted_ns=7), _status(exhausted_ns=5)]) == 5


def test_the_window_is_half_open() -> None:
    phases = Phases()
    phases.open_window(5, 15)
    assert [phases.phase(instant) for instant in (4, 5, 14, 15)] == ["warm_up", "window", "window", "drain"]


def test_only_requests_of_the_window_are_its_cohort() -> None:
    phases = Phases()
    phases.on_taken(3)
    phases.open_window(5, 15)
    for origin in (5, 5, 14, 15):
        phases.on_taken(origin)
    assert phases.cohort_open == 3
    for origin in (3, 5, 15):
        phases.on_done(origin)
    assert (phases.cohort_open, phases.taken, phases.done) == (2, 5, 3)


def test_a_request_taken_just_before_the_window_was_made_known_still_counts() -> None:
    phases = Phases()
    phases.on_taken(5)
    phases.open_window(5, 15)
    assert phases.cohort_open == 1
    phases.on_done(5)
    assert phases.cohort_open == 0


def test_a_window_of_requests_closes_with_the_send_of_the_last() -> None:
    phases = Phases(window_requests=3)
    phases.open_window(10, None)
    for sent in (5, 10, 17, 19):
        phases.on_taken(sent)
    assert phases.window_end_ns == 20


def test_stopping_closes_an_open_window_here_and_only_once() -> None:
    phases = Phases()
    phases.open_window(5, 15)
    phases.stop(7, "interrupted")
    phases.stop(9, "max_requests")
    assert (phases.window_end_ns, phases.ended, phases.may_send) == (7, "interrupted", False)


@pytest.mark.parametrize(
    ("end", "now", "why", "expected"),
    [
        (15, 4, "interrupted", (None, None)),
        (15, 7, "interrupted", (5, 7)),
        (15, 20, "window_over", (5, 15)),
        (None, 7, "max_requests", (5, 7)),
        (15, 7, "stopped_saturated", (5, 15)),
    ],
)
def test_the_window_of_a_load_that_ends(end: int | None, now: int, why: str, expected: tuple[int, int]) -> None:
    assert stopped_window(5, end, now, why) == expected
    assert stopped_window(None, None, now, why) == (None, None)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10)])
def test_the_quantile_of_lags_is_an_observed_value(share: float, expected: int) -> None:
    lags = list(range(10, 0, -1))
    assert quantile_of_lags(lags, share) == expected
    assert quantile_of_lags([], share) is None


def test_users_back_off_ever_longer_but_never_over_a_second() -> None:
    waits = [back_off_s(failures) for failures in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.05, 1.0)
