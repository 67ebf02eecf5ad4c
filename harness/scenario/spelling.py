"""The nearest right spelling of a word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word most like `word`, whatever its case; None when none is alike."""
    folded = {candidate.lower(): candidate for candidate in allowed}
    matches = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None
