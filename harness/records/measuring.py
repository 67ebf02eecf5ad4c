"""Which process measures into a run folder now. Merging parts while another process appends loses its rows."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import RunFolderError

FILE = ".measuring"
_ours: set[Path] = set()  # folders that this process measures into


@contextlib.contextmanager
def measuring(folder: Path) -> Iterator[None]:
    """Hold the folder for the length of the block; the kernel lets it go when the process dies.

    Raises RunFolderError when another process holds it.
    """
    path = folder.resolve()
    with (folder / FILE).open("a+") as file:
        _take(file.fileno(), path, fcntl.LOCK_EX)
        _ours.add(path)
        try:
            yield
        finally:
            _ours.discard(path)
            (folder / FILE).unlink(missing_ok=True)


def is_ours(folder: Path) -> bool:
    """Whether this very process measures into the folder."""
    return folder.resolve() in _ours


def require_at_rest(folder: Path) -> None:
    """Raises RunFolderError when another process measures into the folder."""
    if is_ours(folder) or not (folder / FILE).exists():
        return
    with (folder / FILE).open() as file:
        _take(file.fileno(), folder, fcntl.LOCK_SH)


def _take(number: int, path: Path, kind: int) -> None:
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except OSError:
        raise RunFolderError(
            f"{path} is being measured by another process",
            hint="wait until it is done, or end it with Ctrl-C: it keeps what was measured",
        ) from None
    if kind == fcntl.LOCK_EX:
        os.ftruncate(number, 0)
        os.write(number, f"{os.getpid()}\n".encode())
