"""Ctrl-C and SIGTERM while a run measures: the first asks for a clean end, a second one does not wait for it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Context manager. A signal raises KeyboardInterrupt; while `deferred`, the first one only sets `requested`."""

    def __init__(self) -> None:
        self.requested = False
        self.deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.deferred or self.requested:
            self.requested = True
            raise KeyboardInterrupt
        self.requested = True
