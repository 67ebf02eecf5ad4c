"""The tree of errors a person can meet, and the one table of exit codes.

    HarnessError
    ├── UsageError            2   a command line, scenario, engine spec or run folder that cannot be used
    │   ├── ScenarioError         … with file, line and field of every mistake
    │   └── RunFolderError        … a folder that is not a run, or is damaged
    ├── TargetNotReady        5   the server under test did not become ready, or went away
    ├── NotAccepted     1, 3, 4   a run that may not become a baseline: FAIL, INVALID, or of another kind
    ├── DriverFailed          6   the load generator itself broke
    └── Interrupted         130   Ctrl-C or SIGTERM; what was measured is kept

Everything else that escapes is a bug (70). A message says what happened; `hint` says what to do next.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path


class Ending(enum.Enum):
    """How a command can end: (exit code, meaning). The order is the precedence when several hold, worst first."""

    BUG = (70, "the harness itself failed: please report it")
    USAGE = (2, "bad usage or configuration")
    INTERRUPTED = (130, "interrupted: what was measured is kept")
    TARGET_NOT_READY = (5, "the target was not ready, or went away")
    DRIVER_FAILED = (6, "the load generator failed")
    INVALID = (3, "a point needed for the answer is INVALID")
    NOT_COMPARABLE = (4, "the two runs cannot be compared")
    FAIL = (1, "a gate or an objective failed")
    INCONCLUSIVE = (4, "the data cannot decide")
    PASS = (0, "pass")

    @property
    def code(self) -> int:
        """The process exit code."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return self.value[1]


def worst(endings: Iterable[Ending]) -> Ending:
    """The ending that decides the exit code when several hold; PASS when there is none."""
    precedence = list(Ending)
    return min(endings, key=precedence.index, default=Ending.PASS)


class HarnessError(Exception):
    """An error with a message for people, an optional next step, and the ending it leads to."""

    ending = Ending.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kept_in: Path | None = None  # the run folder with what was measured before the error
        self.resume_command = "harness run --resume"  # what goes on with that folder

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class UsageError(HarnessError):
    """A command line or an input file that cannot be used as it is."""

    ending = Ending.USAGE


class ScenarioError(UsageError):
    """A scenario or engine spec with one or more mistakes, each named with file, line and field."""


class RunFolderError(UsageError):
    """A folder that is not a run folder, or one whose files are damaged."""


class TargetNotReady(HarnessError):
    """The server under test did not become ready, or went away."""

    ending = Ending.TARGET_NOT_READY


class NotAccepted(HarnessError):
    """A run that may not become a baseline; `ending` says what it is instead."""

    def __init__(self, message: str, ending: Ending = Ending.FAIL, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.ending = ending


class DriverFailed(HarnessError):
    """The load generator broke: its records cannot be trusted to be complete."""

    ending = Ending.DRIVER_FAILED


class Interrupted(HarnessError):
    """The person stopped the command; what was measured until then is kept."""

    ending = Ending.INTERRUPTED
