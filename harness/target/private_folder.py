"""The private temporary folder of a server: made short-named, removed when its start fails, swept when nobody is left.

A harness that gets kill -9 cannot remove its folder; the next start does. A folder tells by its mark, the identity of
its server, that it is one of ours and whether the server lives.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from harness.errors import UsageError
from harness.target.process import Identity, family

PREFIX = "harness-"
MARK = "server.json"
SOCKET_PATH_BYTES = 100  # the kernel's limit for a Unix socket's path is 107


@contextlib.contextmanager
def kept_on_success() -> Iterator[Path]:
    """A fresh folder, removed when the block fails. Its path is short: a Unix socket will lie in it."""
    place = Path(tempfile.gettempdir())
    if len(f"{place}/{PREFIX}12345678/engine.sock".encode()) > SOCKET_PATH_BYTES:
        place = Path("/tmp")
    sweep(place)
    with writable(place):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into a sentence: UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", hint="free some space there, or point TMPDIR elsewhere"
        ) from error


def mark(folder: Path, server: Identity) -> None:
    """Note whose folder it is."""
    (folder / MARK).write_text(json.dumps(asdict(server)))


def sweep(place: Path) -> None:
    """Remove marked folders whose server is gone with all its processes."""
    for file in place.glob(f"{PREFIX}*/{MARK}"):
        # Somebody else's folder, a half-written mark: not ours to judge.
        with contextlib.suppress(OSError, ValueError, TypeError):
            if not family(Identity(**json.loads(file.read_text()))):
                shutil.rmtree(file.parent, ignore_errors=True)
