"""An engine that is slower by a known share, to test that a gate notices: `injected_slowdown_ratio`.

What is stretched is the time from the tokens of one step to those of the next: the step itself, and before it the wait
until the models have handed on the last tokens. A ratio of 0.1 thus makes the time per output token 10% longer, while
an idle engine's first step is stretched by its own length alone. Nanoseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Slowdown:
    """Waits after each step; a ratio of 0 never waits. `now_ns` and `sleep` (seconds) are there for tests."""

    def __init__(
        self,
        ratio: float,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ratio, self._now_ns, self._sleep = ratio, now_ns, sleep
        self._last_ns: int | None = None  # when the last step was over, its wait included; None after a rest

    def stretch(self, begun_ns: int) -> None:
        """A step that began at `begun_ns` is over."""
        if self._ratio == 0:
            return
        since_ns = begun_ns if self._last_ns is None else self._last_ns
        self._sleep(self._ratio * (self._now_ns() - since_ns) / 1e9)
        self._last_ns = self._now_ns()

    def rest(self) -> None:
        """Nothing runs any more: the time until the next step is nobody's."""
        self._last_ns = None
