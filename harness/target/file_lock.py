"""A lock between processes of one host, held by an open file: it ends with its holder, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from harness.errors import UsageError

POLL_S = 0.2


@contextlib.contextmanager
def exclusive(path: Path, *, limit_s: float, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file; says once that it waits. Raises UsageError after `limit_s` seconds."""
    with _opened(path) as file:
        _acquire(file, path, limit_s, waiting)
        yield


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent}: {error.strerror}",
            hint="point HARNESS_CACHE (and HARNESS_STATE) at a folder that can be written",
        ) from error


def _acquire(file: IO[str], path: Path, limit_s: float, waiting: Callable[[str], None]) -> None:
    deadline = time.monotonic() + limit_s
    for attempt in range(1 + int(limit_s / POLL_S)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt == 0:
                waiting(f"another process is making the same thing; waiting for {path.name}")
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    raise UsageError(
        f"another process has held {path} for {limit_s:.0f} s", hint=f"see who: lslocks | grep {path.name}"
    )
