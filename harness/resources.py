"""Where the data that travels with the program lies: scenarios, engines, report templates.

In a checkout these are the plural folders at the top; in an installed wheel they lie in `harness/_shipped/`. Nothing
else in the program knows which of the two it is running from.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from harness.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """The path of a shipped file or folder, e.g. `shipped("scenarios", "quickstart.yaml")`.

    Raises UsageError when the installation lacks it.
    """
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise UsageError(
        f"{'/'.join(parts)} is not part of this installation",
        hint="reinstall the package: pip install --force-reinstall triton-llm-harness",
    )


def find_named(kind: str, name_or_path: str, suffix: str = ".yaml") -> Path:
    """A scenario or engine by path, or by name in the user's `./<kind>/`, or among the shipped ones, in that order.

    Raises UsageError with the names that exist and the nearest one.
    """
    path = Path(name_or_path)
    if path.suffix == suffix or path.parent != Path("."):
        if path.is_file():
            return path
        raise UsageError(f"{name_or_path}: no such file", hint=f"known {kind}: {', '.join(names(kind, suffix))}")
    for folder in (Path(kind), shipped(kind)):
        candidate = folder / f"{name_or_path}{suffix}"
        if candidate.is_file():
            return candidate
    raise _unknown(kind, name_or_path, names(kind, suffix))


def _unknown(kind: str, name: str, known: list[str]) -> UsageError:
    alike = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean `{alike[0]}`? " if alike else ""
    return UsageError(f"there is no {kind.rstrip('s')} named {name!r}", hint=f"{meant}known: {', '.join(known)}")


def names(kind: str, suffix: str = ".yaml") -> list[str]:
    """The names in the user's `./<kind>/` and among the shipped ones, sorted."""
    folders = [Path(kind), shipped(kind)]
    return sorted({file.stem for folder in folders if folder.is_dir() for file in folder.glob(f"*{suffix}")})
