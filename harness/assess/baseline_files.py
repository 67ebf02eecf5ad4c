"""Where baselines lie, and how they are read and written: `<root>/<scenario>/<engine or target>/<hardware>.json`.

Written as a whole or not at all, and by one process at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.gate import baseline_json
from harness.gate.baseline import Baseline
from harness.gate.identity import NONE
from harness.gate.measured import Measured

ROOT = Path("baselines")
LOCK_WAIT_S = 30.0
LOCK_POLL_S = 0.05


def path_for(root: Path, measured: Measured) -> Path:
    """Where the baseline of this scenario, target and hardware lies."""
    return root / measured.scenario.name / target_name(measured) / f"{hardware_name(measured)}.json"


def target_name(measured: Measured) -> str:
    """The engine's name, or the target's."""
    return slug(str(measured.identity.fields["target.name"]))


def hardware_name(measured: Measured) -> str:
    """`<count>x<GPU product>`, `cpu-<model>-<cores>`, or `unknown-hardware` where nobody said."""
    told = measured.identity.fields
    product, count = told["hardware.gpu_product"], told["hardware.gpu_count"]
    if count:
        return f"{count}x{slug(product or 'gpu')}"
    if product == NONE:
        return f"cpu-{slug(told.get('hardware.cpu_model') or 'unknown')}-{told.get('hardware.cpu_cores') or 'unknown'}"
    return "unknown-hardware"


def slug(text: str) -> str:
    """Lower-case letters, digits and `.`, `_`; anything else becomes one `-`."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._") or "unnamed"


def load(path: Path) -> Baseline:
    """The baseline in this file. Raises UsageError when there is none, or it cannot be trusted."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such baseline", hint="accept a run first: harness baseline accept RUN") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    return baseline_json.from_json(text, path)


def save(path: Path, baseline: Baseline) -> None:
    """Replace the file; a crash leaves the old one. Raises UsageError when it cannot be written."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(baseline_json.to_json(baseline))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(folder: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Make the folder and hold it: no other process changes a baseline in it meanwhile.

    Raises UsageError when another one holds it for longer than `wait_s` seconds. The lock is the folder itself: it ends
    with its holder, and leaves no file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        _acquire(held, folder, wait_s)
        yield
    finally:
        os.close(held)


def _acquire(held: int, folder: Path, wait_s: float) -> None:
    for _ in range(1 + round(wait_s / LOCK_POLL_S)):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_POLL_S)
    raise UsageError(f"another process has been changing baselines in {folder} for {wait_s:g} s", hint="try again")


def found(root: Path) -> list[Path]:
    """All baseline files below `root`, sorted."""
    return sorted(path for path in root.glob("*/*/*.json") if not path.name.startswith("."))
