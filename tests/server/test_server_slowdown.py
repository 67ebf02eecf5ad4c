"""The injected slowdown stretches the time between the tokens of two steps by its ratio, and nothing else."""

import itertools

import pytest
from settings import RefusedSetting, Settings
from slowdown import Slowdown
from test_server_settings import GIVEN


class Clock:
    """Time passes by `pass_` and by sleeping alone."""

    def __init__(self) -> None:
        self.now_ns = 0

    def pass_(self, milliseconds: float) -> int:
        before, self.now_ns = self.now_ns, self.now_ns + int(milliseconds * 1e6)
        return before

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


def slowed(ratio: float, clock: Clock) -> Slowdown:
    return Slowdown(ratio, lambda: clock.now_ns, clock.sleep)


def test_the_time_from_step_to_step_grows_by_the_ratio_its_waits_included() -> None:
    clock = Clock()
    slowdown = slowed(0.25, clock)
    slowdown.stretch(clock.pass_(8))
    ended = [clock.now_ns]
    for _ in range(3):
        clock.pass_(2)  # the credit
        slowdown.stretch(clock.pass_(6))
        ended.append(clock.now_ns)
    assert ended[0] == 10_000_000
    assert [b - a for a, b in itertools.pairwise(ended)] == [10_000_000] * 3


def test_idle_time_is_not_stretched() -> None:
    clock = Clock()
    slowdown = slowed(1.0, clock)
    slowdown.stretch(clock.pass_(5))
    slowdown.rest()
    clock.pass_(1000)
    slowdown.stretch(clock.pass_(5))
    assert clock.now_ns == 10_000_000 + 1_000_000_000 + 10_000_000


def test_without_a_ratio_nothing_waits() -> None:
    clock = Clock()
    slowed(0.0, clock).stretch(clock.pass_(5))
    assert clock.now_ns == 5_000_000


def test_the_setting_is_optional_and_checked() -> None:
    assert Settings.parse(GIVEN).injected_slowdown_ratio == 0
    assert Settings.parse({**GIVEN, "injected_slowdown_ratio": "0.2"}).injected_slowdown_ratio == pytest.approx(0.2)
    for wrong in ("nonsense", "-0.1", "11"):
        with pytest.raises(RefusedSetting, match="injected_slowdown_ratio"):
            Settings.parse({**GIVEN, "injected_slowdown_ratio": wrong})
