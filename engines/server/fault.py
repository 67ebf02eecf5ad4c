"""Faults on purpose, for tests: the environment variable ENGINE_FAULT.

`raise_after:N` makes the engine loop raise before its step N+1 (N counts from the start of the engine process).
Anything else stops the engine process at its start, so that a typo cannot make a test pass.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "ENGINE_FAULT"


class FaultOnPurpose(RuntimeError):
    """What the engine loop raises when a test asked for it."""


class Fault:
    """Counts steps; never raises when no fault was asked for."""

    def __init__(self, raise_after_steps: int | None) -> None:
        self._left = raise_after_steps

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Fault:
        """Raises ValueError for a fault that does not exist."""
        text = environment.get(VARIABLE, "")
        if not text:
            return cls(None)
        kind, _, number = text.partition(":")
        if kind != "raise_after" or not number.isdigit():
            raise ValueError(f"{VARIABLE}={text}: the only fault is raise_after:N")
        return cls(int(number))

    def before_step(self) -> None:
        if self._left is None:
            return
        if self._left == 0:
            raise FaultOnPurpose("fault injected by " + VARIABLE)
        self._left -= 1
